"""Compiled constraints on disk: what comes back is what was stored, and nothing that goes wrong there does harm."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from structdiff_cli.main import cli

import structdiff
from structdiff.constraint import compile as compiling
from structdiff.constraint import disk_cache as cache
from structdiff.core.errors import BadSetting
from structdiff.testing.tiny import tiny_vocabulary
from structdiff.tokens.automaton import TokenAutomaton

VOCABULARY = tiny_vocabulary([bytes([b]) for b in range(32, 127)] + [b'{"', b'": ', b'"}', b"true"])
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}}, "required": ["a"]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRUCTDIFF_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "WORTH_KEEPING", -1.0)
    return tmp_path


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("constraint-*.npz"))


def same(one: TokenAutomaton, other: TokenAutomaton) -> bool:
    arrays = [name for name, value in vars(one).items() if isinstance(value, np.ndarray)]
    return one.bytes == other.bytes and all(np.array_equal(getattr(one, n), getattr(other, n)) for n in arrays)


def test_the_second_compilation_loads_an_equal_automaton(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = structdiff.compile(SCHEMA, VOCABULARY)
    assert len(kept(folder)) == 1
    monkeypatch.setattr(compiling, "compile_tree", lambda *args: pytest.fail("compiled again"))
    second = structdiff.compile(SCHEMA, VOCABULARY)
    assert same(first.automaton, second.automaton)
    assert second.matches('{"a": "x", "b": true}') and not second.matches('{"b": true}')
    assert second.plan(20).anchors == first.plan(20).anchors


def test_other_sources_options_vocabularies_and_limits_have_files_of_their_own(folder: Path) -> None:
    swapped = {**SCHEMA, "properties": dict(reversed(SCHEMA["properties"].items()))}  # the order of keys matters
    structdiff.compile(SCHEMA, VOCABULARY)
    structdiff.compile(swapped, VOCABULARY)
    structdiff.compile(SCHEMA, VOCABULARY, whitespace="compact")
    structdiff.compile(SCHEMA, VOCABULARY, canonical=False)
    structdiff.compile(SCHEMA, VOCABULARY, limits=structdiff.Limits(states=5_000))
    structdiff.compile(SCHEMA, tiny_vocabulary([bytes([b]) for b in range(32, 127)]))
    structdiff.compile(structdiff.Regex("a+"), VOCABULARY)
    structdiff.compile(structdiff.Choice(["a+"]), VOCABULARY)
    assert len(kept(folder)) == 8


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", None])
def test_a_damaged_file_is_compiled_again(folder: Path, damage: bytes | None) -> None:
    first = structdiff.compile(SCHEMA, VOCABULARY)
    (path,) = kept(folder)
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    assert same(structdiff.compile(SCHEMA, VOCABULARY).automaton, first.automaton)
    assert same(structdiff.compile(SCHEMA, VOCABULARY).automaton, first.automaton)


def test_the_folder_stays_within_its_bound_and_loses_the_oldest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    structdiff.compile(structdiff.Regex("a{1}"), VOCABULARY)
    size = kept(folder)[0].stat().st_size
    monkeypatch.setenv("STRUCTDIFF_CACHE_MB", str(6 * size / 2**20))
    for n in range(2, 12):
        structdiff.compile(structdiff.Regex(f"a{{{n}}}"), VOCABULARY)
    assert sum(path.stat().st_size for path in kept(folder)) <= 6 * size
    assert 2 <= len(kept(folder)) < 11
    monkeypatch.setattr(compiling, "compile_tree", lambda *args: pytest.fail("the newest was lost"))
    structdiff.compile(structdiff.Regex("a{11}"), VOCABULARY)


def test_what_killed_writers_left_is_swept_after_an_hour(folder: Path) -> None:
    old, new = folder / "old.tmp", folder / "new.tmp"
    old.write_text("half")
    new.write_text("half")
    os.utime(old, (time.time() - 4000, time.time() - 4000))
    structdiff.compile(SCHEMA, VOCABULARY)
    assert not old.exists() and new.exists()


def test_zero_megabytes_turn_it_off_and_a_folder_that_is_a_file_does_no_harm(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRUCTDIFF_CACHE_MB", "0")
    structdiff.compile(SCHEMA, VOCABULARY)
    assert kept(folder) == []
    monkeypatch.delenv("STRUCTDIFF_CACHE_MB")
    (folder / "file").write_text("")
    monkeypatch.setenv("STRUCTDIFF_CACHE", str(folder / "file"))
    structdiff.compile(SCHEMA, VOCABULARY)


@pytest.mark.parametrize("told", ["abc", "-1", "nan", "inf"])
def test_a_bound_that_is_none_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("STRUCTDIFF_CACHE_MB", told)
    line = f"STRUCTDIFF_CACHE_MB is '{told}'; it must be a number of megabytes, 0 for no cache"
    with pytest.raises(BadSetting, match=f"^{line}$"):
        structdiff.compile(SCHEMA, VOCABULARY)
    done = CliRunner().invoke(cli, ["generate", "--schema", "age int"], input="Ann is 31.")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, f"Error: {line}")
    monkeypatch.setenv("STRUCTDIFF_CACHE_MB", "")
    structdiff.compile(SCHEMA, VOCABULARY)
    assert len(kept(folder)) == 1


def test_many_writers_at_once(folder: Path) -> None:
    expected = structdiff.compile(SCHEMA, VOCABULARY).automaton
    kept(folder)[0].unlink()
    found: list[TokenAutomaton] = []

    def work() -> None:
        found.extend(structdiff.compile(SCHEMA, VOCABULARY).automaton for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 18 and all(same(one, expected) for one in found)
    assert not list(folder.glob("*.tmp"))
