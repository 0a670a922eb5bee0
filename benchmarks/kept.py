"""Rows of a run in a JSONL file whose first line says what they belong to, so that a run that was ended goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def kept_rows(path: Path | None, said: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a file, which is begun where it is not there; none without a path.

    ``said`` is what decides the rows. Raises ValueError where the file holds those of something else.
    """
    if path is None:
        return []
    if not path.is_file():
        path.write_text(json.dumps(said) + "\n", encoding="utf-8")
    head, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if json.loads(head) != said:
        raise ValueError(f"{path} holds answers of {head.strip()}, not of {json.dumps(said)}")
    if lines and not lines[-1].endswith("\n"):  # written half when the process ended
        lines = lines[:-1]
        path.write_text(head + "".join(lines), encoding="utf-8")
    return [json.loads(line) for line in lines]


def keep(path: Path | None, rows: Iterable[dict[str, Any]]) -> None:
    """Append rows to a file of `kept_rows`; without a path nothing is kept."""
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
