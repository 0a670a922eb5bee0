"""Errors as OpenAI's clients read them: ``{"error": {message, type, param, code}}`` and a status."""

from __future__ import annotations

from typing import Any

from structdiff.core import errors


class ApiError(Exception):
    """A request that ends with ``status``; ``param`` names the field that is wrong, ``code`` the kind of error.

    >>> ApiError(404, "no such model", param="model", code="model_not_found").body["error"]["param"]
    'model'
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code or _CODES.get(status, "error"), retry_after
        kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
        self.body: dict[str, Any] = {
            "error": {"message": message, "type": kind, "param": param, "code": self.code}
        }  # fmt: skip

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)} if self.retry_after else {}

    @classmethod
    def of(cls, error: errors.StructdiffError, param: str | None = None) -> ApiError:
        """The answer to a library error: what is wrong with the request is 400, a failed generation 500.

        >>> ApiError.of(errors.BudgetTooSmall(12, 8)).body["error"]["param"]
        'max_tokens'
        """
        match error:
            case errors.BudgetTooSmall():
                return cls(400, str(error), param="max_tokens", code="budget_too_small")
            case errors.UnsupportedSchema():
                return cls(400, str(error), param=param, code="unsupported_schema")
            case errors.CompileLimit():
                return cls(400, str(error), param=param, code="schema_too_large")
            case errors.Unsatisfiable():
                return cls(400, str(error), param=param, code="unsatisfiable_schema")
            case errors.InvalidSchema():
                return cls(400, str(error), param=param, code="invalid_schema")
        return cls(500, str(error), code="generation_failed")


_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
_CODES = {
    400: "invalid_value",
    401: "invalid_api_key",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    429: "queue_full",
    500: "internal_error",
    503: "shutting_down",
    504: "deadline_exceeded",
}
