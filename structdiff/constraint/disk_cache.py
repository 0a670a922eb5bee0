"""Compiled constraints on disk: one file per source, vocabulary and state of the compiler, in a folder of bounded size.

Writers replace files atomically, so that processes may race; whatever cannot be read is compiled again. The folder is
`cache_folder()`; ``STRUCTDIFF_CACHE_MB`` bounds it (default 256, 0 turns the cache off). The files used least recently
go first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.kernels import by_row
from structdiff.core.errors import BadSetting
from structdiff.core.limits import Limits
from structdiff.core.restrictions import Restriction
from structdiff.tokens.automaton import TokenAutomaton
from structdiff.tokens.trie import cache_folder
from structdiff.tokens.vocabulary import Vocabulary

VARIABLE = "STRUCTDIFF_CACHE_MB"
"""The environment variable that bounds the folder."""
WORTH_KEEPING = 0.05
"""Seconds of compilation from which a constraint is kept: loading one takes a few milliseconds."""

_COMPILING = ("core", "automata", "tokens", "frontends", "constraint")
"""The rooms whose code decides what an automaton looks like."""

_BYTES = ("transitions", "byte_class", "accepting")
_TOKENS = (
    "byte_state",
    "edge_at",
    "edge_to",
    "edge_label",
    "label_at",
    "label_class",
    "class_of",
    "accepting",
    "distance",
)


def budget() -> int:
    """The bytes that all cached constraints together may take. Raises `BadSetting`."""
    told = os.environ.get(VARIABLE) or "256"
    try:
        if (size := float(told)) >= 0:
            return int(size * 2**20)
    except (ValueError, OverflowError):
        pass
    raise BadSetting(f"{VARIABLE} is {told!r}; it must be a number of megabytes, 0 for no cache")


@functools.cache
def _compiler() -> str:
    """A digest of the code that compiles: what another version wrote is never read."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(path for room in _COMPILING for path in (package / room).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def name_of(source: str | None, vocabulary: Vocabulary, canonical: bool, limits: Limits) -> str | None:
    """The name of a constraint by its content, from the content key of its source; None where there is no key."""
    if source is None:
        return None
    parts = (_compiler(), source, vocabulary.fingerprint, canonical, limits.states, limits.edges, limits.nodes)
    return f"constraint-{hashlib.sha256(repr(parts).encode()).hexdigest()[:40]}.npz"


def holds(name: str) -> bool:
    """Is a constraint kept under ``name``?"""
    return budget() > 0 and (cache_folder() / name).is_file()


def load(name: str) -> tuple[TokenAutomaton, tuple[Restriction, ...]] | None:
    """The automaton and the restrictions kept under ``name``, or None."""
    if budget() <= 0:
        return None
    path = cache_folder() / name
    try:
        with np.load(path) as arrays:
            compiled = ByteAutomaton(*(arrays[f"bytes_{field}"] for field in _BYTES))
            found = {field: arrays[field] for field in _TOKENS}
            count = int(arrays["classes"])
            restrictions = tuple(Restriction(*one) for one in json.loads(str(arrays["restrictions"])))
        os.utime(path)
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        return None
    found["class_of"] = found["class_of"].astype(np.int32)
    class_at, class_token = by_row(found["class_of"], count)
    automaton = TokenAutomaton(bytes=compiled, class_at=class_at, class_token=class_token, **found)
    return automaton, restrictions


def store(name: str, automaton: TokenAutomaton, restrictions: tuple[Restriction, ...] = ()) -> None:
    """Keep a constraint, then make room; a folder that cannot be written is no error."""
    if budget() <= 0:
        return
    arrays = {f"bytes_{field}": getattr(automaton.bytes, field) for field in _BYTES}
    arrays |= {field: getattr(automaton, field) for field in _TOKENS}
    if automaton.classes < 2**16:
        arrays["class_of"] = automaton.class_of.astype(np.uint16)
    if sum(array.nbytes for array in arrays.values()) > budget() // 4:
        return
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            said = json.dumps([dataclasses.astuple(one) for one in restrictions])
            np.savez(file, classes=np.array(automaton.classes), restrictions=np.array(said), **arrays)
        os.replace(temporary, folder / name)
        _make_room(folder)
    except OSError:
        return


def _make_room(folder: Path) -> None:
    """Remove the files used least recently beyond the budget, and what killed writers left behind an hour ago."""
    for path in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):  # another process was faster
            if time.time() - path.stat().st_mtime > 3600:
                path.unlink()
    files = []
    for path in folder.glob("constraint-*.npz"):
        try:
            found = path.stat()
        except OSError:  # another process was faster
            continue
        files.append((found.st_mtime, found.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= budget():
            break
        path.unlink(missing_ok=True)
        total -= size
