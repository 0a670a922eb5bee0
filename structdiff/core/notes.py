"""What a person is told beside a result: a line on standard error."""

from __future__ import annotations

import sys


def tell(line: str) -> None:
    """Write one line on standard error, where there is one."""
    if sys.stderr is not None:
        print(f"structdiff: {line}", file=sys.stderr, flush=True)
