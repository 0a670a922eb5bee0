"""Errors as OpenAI's clients read them: ``{"error": {message, type, param, code}}`` and a status."""

from __future__ import annotations

from collections.abc import Sequence
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
            case errors.RepeatedKey():
                return cls(422, str(error), code="repeated_key")
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


def of_validation(found: Sequence[Any], body: Any) -> ApiError:
    """The answer to a request that does not have the form it should have, in the terms of the one who wrote it.

    Of several errors the one deepest in the request is told. Pydantic's names for the branches of a union are left out
    of the place: it holds the caller's own keys.

    >>> errors = [{"loc": ("body", "stop", "str"), "type": "string_type", "msg": "Input should be a valid string"}]
    >>> of_validation(errors, {"stop": 3}).body["error"]["message"]
    'stop: Input should be a valid string'
    """
    placed = [(_place(one["loc"], body, one["type"]), one) for one in found]
    place, first = max(placed, key=lambda pair: len(pair[0]))
    name = ".".join(map(str, place))
    refused = first["type"] == "extra_forbidden"
    said = "this service does not know or cannot honour it" if refused else first["msg"].removeprefix("Value error, ")
    return ApiError(400, f"{name}: {said}" if name else said, param=name or None)


def _place(location: Sequence[Any], body: Any, kind: str) -> list[Any]:
    place: list[Any] = []
    at, steps = body, list(location)
    if steps and steps[0] in ("body", "query", "path"):
        steps = steps[1:]
    for number, step in enumerate(steps):
        if (isinstance(at, dict) and step in at) or (isinstance(at, list) and isinstance(step, int) and step < len(at)):
            at = at[step]
        elif not (number == len(steps) - 1 and kind in ("missing", "json_invalid")):
            continue
        place.append(step)
    return place


_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
_CODES = {
    400: "invalid_value",
    401: "invalid_api_key",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    421: "unknown_host",
    429: "queue_full",
    500: "internal_error",
    503: "shutting_down",
    504: "deadline_exceeded",
}
