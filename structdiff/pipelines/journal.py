"""Finished rows on disk while a run goes on, so that it can be killed at any moment and resumed."""

from __future__ import annotations

import json
import os
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from structdiff.pipelines.answers import Answer
from structdiff.pipelines.places import InputError, OutputError

NOWHERE = -1


def check_same(path: Path | str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raises `InputError` that names what differs between the run that began a file and the one that goes on."""
    asked = json.loads(json.dumps(new))
    changed = [name for name in asked if old.get(name) != asked[name]]
    if changed:
        raise InputError(
            f"{path} was begun with another {', '.join(changed)}; resume with the same, or delete it to begin anew"
        )


class Journal:
    """The rows of a run in a file: a header of what the run is, then a line for each row with its place.

    A place may have several lines, of which the last counts. A chunk's lines are on disk before the next chunk
    starts; a line that a kill has torn is cut off.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        """Open a journal, or begin one. Raises `InputError` where one is there of another run."""
        self.path, self.reopened = path, False
        self.offsets = array("q")
        self.digests = bytearray()
        self.failed: dict[int, str] = {}
        self.tokens = self.steps = 0
        try:
            self.file = path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error
        if not self._read(header):
            self.file.seek(0)
            self.file.truncate()
            self._write([json.dumps(dict(header)).encode()])

    def _read(self, header: Mapping[str, Any]) -> bool:
        """Read what is there; False where not even a header is."""
        first = self.file.readline()
        if not first.endswith(b"\n"):
            return False
        begun = json.loads(first)
        try:
            check_same(self.path, begun, header)
        except InputError:
            self.file.close()
            raise
        self.tokens, self.steps = begun.get("tokens", 0), begun.get("steps", 0)
        at = len(first)
        for line in self.file:
            if not line.endswith(b"\n"):
                break
            self._note(json.loads(line), at)
            at += len(line)
        self.file.seek(at)
        self.file.truncate()
        return True

    def _note(self, line: dict[str, Any], offset: int) -> None:
        place = line["at"]
        while len(self.offsets) <= place:
            self.offsets.append(NOWHERE)
            self.digests += bytes(8)
        self.offsets[place] = offset
        self.digests[8 * place : 8 * place + 8] = bytes.fromhex(line["record"])
        self.failed.pop(place, None)
        if line["error"] is not None:
            self.failed[place] = line["error"]
        self.tokens, self.steps = self.tokens + line["tokens"], self.steps + line["steps"]

    def _write(self, lines: list[bytes]) -> None:
        try:
            self.file.seek(0, os.SEEK_END)
            self.file.write(b"".join(line + b"\n" for line in lines))
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror}; go on with --resume") from error

    def has(self, place: int) -> bool:
        """Is there a row of the record at a place?"""
        return place < len(self.offsets) and self.offsets[place] != NOWHERE

    def digest(self, place: int) -> bytes:
        """The digest of the record whose row stands at a place."""
        return bytes(self.digests[8 * place : 8 * place + 8])

    def append(self, places: Sequence[int], digests: Sequence[bytes], answers: Sequence[Answer]) -> None:
        """Put a chunk's rows on disk."""
        notes = [
            {"at": place, "record": digest.hex(), **answer.asdict()}
            for place, digest, answer in zip(places, digests, answers, strict=True)
        ]
        lines = [json.dumps(note, ensure_ascii=False).encode() for note in notes]
        at = self.file.seek(0, os.SEEK_END)
        self._write(lines)
        for note, line in zip(notes, lines, strict=True):
            self._note(note, at)
            at += len(line) + 1

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows in the order of their places."""
        for offset in self.offsets:
            self.file.seek(offset)
            yield json.loads(self.file.readline())["row"]

    def errors(self) -> Counter[str]:
        """How many rows are errors, by the class of the error."""
        return Counter(self.failed.values())

    def close(self) -> None:
        self.file.close()

    def remove(self) -> None:
        """Close the journal and delete its file."""
        self.close()
        self.path.unlink(missing_ok=True)
