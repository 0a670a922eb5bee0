"""What comes back for a record: its row, and what that cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """The row of a record, and what it cost; ``error`` is the class of the error where the row has no value."""

    row: dict[str, Any]
    error: str | None = None
    tokens: int = 0
    steps: int = 0

    def asdict(self) -> dict[str, Any]:
        """The answer as JSON data."""
        return asdict(self)
