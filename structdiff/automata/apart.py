"""Lists of JSON texts that certainly differ: their checksums do.

A finite automaton cannot remember all items of a list, but a few of their checksums. Values that are equal have equal
checksums: whitespace does not count, and numbers and escapes that could be spelled in two ways have one here.

>>> from structdiff.automata.compiling import compile_tree
>>> from structdiff.automata.tree import ByteSet, literal
>>> item = compile_tree(ByteSet.of(b"123456"))
>>> steps = [Step(0, item, 2, residue, 1) for residue in range(2)]
>>> pairs = listed([*steps, Step(1, item, 2, 1, 2)], (2,), literal("["), literal(","), literal("]"), literal("[]"))
>>> [pairs.accepts(text) for text in (b"[2,1]", b"[2,3]", b"[4,2]", b"[1]")]
[True, True, False, False]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from structdiff.automata.byte_automaton import ByteAutomaton, minimal
from structdiff.automata.compiling import compile_tree
from structdiff.automata.slots import MARKS
from structdiff.automata.tree import ByteSet, Embedded, Node, sequence
from structdiff.core.errors import CompileLimit
from structdiff.core.limits import Limits, active

MOST = len(MARKS)
"""The largest modulus: so many bytes are in no JSON text, and mark the residues here."""
DIGITS = 15
"""Decimals of no more digits are different doubles."""
_SPACE = b" \n\r\t"
_HEAVIER = {ord("r"): 2, ord("f"): 3, ord("n"): 4}
"""What letters count more outside of strings, so that true, false, null, 0 and 1 differ modulo 5."""


@dataclass(frozen=True, eq=False)
class Step:
    """From one state of a list to another with an item whose checksum has a ``residue`` to ``modulus``.

    ``additive``: the checksum does not depend on the order of keys.
    """

    source: int
    item: ByteAutomaton
    modulus: int
    residue: int
    target: int
    additive: bool = False


def listed(
    steps: Iterable[Step], finals: tuple[int, ...], opening: Node, comma: Node, closing: Node, empty: Node,
    limits: Limits | None = None,
) -> ByteAutomaton:  # fmt: skip
    """Lists whose items are the steps from state 0 to one of ``finals``; state 0 as a final one is ``empty``.

    All steps from one state have the same item. What begins ``comma`` and ``closing`` cannot go on with an item, nor
    can the one begin the other. Raises `CompileLimit`.
    """
    limits = limits or active()
    exits: dict[int, dict[int, int]] = {}
    items: dict[int, ByteAutomaton] = {}
    for step in steps:
        exits.setdefault(step.source, {})[step.residue] = step.target
        items[step.source] = checked(step.item, step.modulus, step.additive)
    begin, between, end = (compile_tree(node) for node in (opening, comma, closing))
    blank = compile_tree(empty)
    parts = [begin, between, end, blank, *{id(item): item for item in items.values()}.values()]
    numbered = [state for state, item in items.items() if not item.is_empty]
    sizes = [begin.states, end.states, *(items[q].states + (between.states if q else 0) for q in numbered)]
    total = sum(sizes) + blank.states
    if total > limits.states:
        raise CompileLimit("", f"{limits.states} states")
    _, first, columns = np.unique(
        np.stack([part.byte_class for part in parts]), axis=1, return_index=True, return_inverse=True
    )
    columns = columns.ravel()
    rows = {id(part): part.transitions[:, part.byte_class[first]] for part in parts}
    marks = columns[list(MARKS)]
    table = np.full((total, len(first)), -1, np.int32)
    accepting = np.zeros(total, bool)
    used = 0

    def block(part: ByteAutomaton) -> int:
        nonlocal used
        own, at = rows[id(part)], used
        table[at : at + part.states] = np.where(own >= 0, own + at, -1)
        used += part.states
        return at

    def overlay(states: np.ndarray, row: np.ndarray) -> None:
        table[states] = np.where(row >= 0, row, table[states])

    block(begin)
    stop = block(end)
    accepting[stop : stop + end.states] = end.accepting
    starts = {state: block(items[state]) for state in numbered}
    commas: dict[int, int] = {}
    for state in numbered:
        if state:  # behind a comma stands the item
            at = commas[state] = block(between)
            overlay(at + np.flatnonzero(between.accepting), table[starts[state]].copy())
    if 0 in starts:
        overlay(np.flatnonzero(begin.accepting), table[starts[0]].copy())
    else:
        table[: begin.states] = -1
    for state in numbered:
        item, at = items[state], starts[state]
        own = table[at : at + item.states]
        for residue, target in exits[state].items():
            done = at + np.flatnonzero(own[:, marks[residue]] >= 0)
            if target in commas:
                overlay(done, table[commas[target]].copy())
            if target in finals:
                overlay(done, table[stop].copy())
        table[at : at + item.states, np.unique(marks)] = -1
    if 0 in finals:
        return minimal(table, accepting, columns.astype(np.uint8)) | blank
    return minimal(table, accepting, columns.astype(np.uint8))


@lru_cache(maxsize=64)
def checked(item: ByteAutomaton, modulus: int, additive: bool) -> ByteAutomaton:
    """The texts of ``item`` that have one spelling, each with one more byte: the mark of its checksum's residue."""
    marked = compile_tree(sequence(Embedded(item), ByteSet.of(MARKS[:modulus])))
    return marked & _checksums(modulus, additive)


@lru_cache(maxsize=32)
def _checksums(modulus: int, additive: bool) -> ByteAutomaton:
    """JSON tokens in their one spelling, and behind them the byte for the residue."""
    modes, blanks, ends = _tokens()
    count = len(modes)
    factor = 1 if additive or modulus % 2 == 0 else 2
    before, byte = np.arange(modulus)[:, None], np.arange(256)[None, :]
    after = (before * factor + byte) % modulus
    residues = np.where(blanks[:, None, :], before[None], after[None])  # [mode, residue, byte]
    for letter, more in _HEAVIER.items():
        residues[0][:, letter] = (residues[0][:, letter] + more) % modulus
    table = np.where(modes[:, None, :] >= 0, modes[:, None, :] * modulus + residues, -1)
    table = np.concatenate([table.reshape(count * modulus, 256), np.full((1, 256), -1)]).astype(np.int32)
    for mode in ends:
        for residue in range(modulus):
            table[mode * modulus + residue, MARKS[residue]] = count * modulus
    accepting = np.zeros(count * modulus + 1, bool)
    accepting[-1] = True
    return minimal(table, accepting, np.arange(256, dtype=np.uint8))


@lru_cache(maxsize=1)
def _tokens() -> tuple[np.ndarray, np.ndarray, list[int]]:
    """int[modes, 256], where each byte leads; which bytes do not count; in which modes a text may end."""
    names = ["ground", "string", "escape", *(f"hex{i}" for i in range(4)), "minus", "-0"]
    names += [f"{kind}{n}" for kind in ("int", "point", "frac") for n in range(1, DIGITS + 1)]
    number = {name: i for i, name in enumerate(names)}
    modes = np.full((len(names), 256), -1)

    def to(mode: str, data: Iterable[int], target: str) -> None:
        modes[number[mode], list(data)] = number.get(target, -1)

    def outside(mode: str) -> None:
        to(mode, b"{}[],:" + _SPACE, "ground")

    outside("ground")
    to("ground", b"truefalsn", "ground")
    to("ground", b'"', "string")
    to("ground", b"-", "minus")
    to("string", (byte for byte in range(0x20, 0x100) if byte not in b'"\\' and byte not in MARKS), "string")
    to("string", b'"', "ground")
    to("string", b"\\", "escape")
    to("escape", b'"\\/bfnrt', "string")
    to("escape", b"u", "hex0")
    for i in range(4):
        to(f"hex{i}", b"0123456789abcdef", f"hex{i + 1}" if i < 3 else "string")
    for mode in ("ground", "minus"):
        to(mode, b"123456789", "int1")
        to(mode, b"0", "int1" if mode == "ground" else "-0")
    to("-0", b".", "point1")
    for n in range(1, DIGITS + 1):
        to(f"int{n}", b"0123456789", f"int{n + 1}")
        to(f"int{n}", b".", f"point{n}")
        for kind in ("point", "frac"):
            to(f"{kind}{n}", b"0", f"point{n + 1}")
            to(f"{kind}{n}", b"123456789", f"frac{n + 1}")
        outside(f"int{n}")
        outside(f"frac{n}")
    blanks = np.zeros_like(modes, dtype=bool)
    ends = [i for i, name in enumerate(names) if name == "ground" or name[:3] in ("int", "fra")]
    for end in ends:
        blanks[end, list(_SPACE)] = True
    return modes, blanks, ends
