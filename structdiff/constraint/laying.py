"""How the text is put into a compiled constraint: the constraint is compiled once, its text is laid in per text."""

from __future__ import annotations

import functools
import json
import math
from functools import cached_property
from weakref import WeakKeyDictionary

from structdiff.automata.compiling import compile_tree
from structdiff.automata.slots import Part, Slot, Template, mark
from structdiff.automata.spans import Passage, Reading
from structdiff.automata.tree import literal
from structdiff.core.json_spans import scan
from structdiff.core.limits import Limits, enforced
from structdiff.tokens.automaton import TokenAutomaton
from structdiff.tokens.slotted import Slotted
from structdiff.tokens.table import TokenTable
from structdiff.tokens.vocabulary import Vocabulary


class Laying:
    """A template with slots for spans of a text, over a vocabulary."""

    def __init__(self, template: Template, vocabulary: Vocabulary, canonical: bool, limits: Limits) -> None:
        self.template, self.vocabulary = template, vocabulary
        self.canonical, self.limits = canonical, limits
        self._slotted: dict[frozenset[int], Slotted] = {}

    @classmethod
    def of(cls, template: Template, vocabulary: Vocabulary, canonical: bool, limits: Limits) -> Laying:
        """The same one for the same template, so that what it found of the vocabulary is found once."""
        known = _known.setdefault(template, {})
        key = vocabulary.fingerprint, canonical, limits.seconds, limits.states, limits.edges, limits.nodes
        if key not in known:
            known[key] = cls(template, vocabulary, canonical, limits)
        return known[key]

    @cached_property
    def ignores_case(self) -> bool:
        """May strings be spelt otherwise than in the text?"""
        return any(part.reading.ignore_case for slot in self.template.slots for part in slot.parts)

    def lay(self, text: str) -> TokenAutomaton:
        """The automaton of the outputs under a text. Raises `NothingToQuote` and `CompileLimit`."""
        _ = self.vocabulary.trie.children
        load_kernels()
        limits = self.limits.restarted()  # the clock measures the text, not what is loaded once
        with enforced(limits):
            contents = self.template.contents(text, limits)
            empty = frozenset(kind for kind, content in enumerate(contents) if content.is_empty)
            if empty not in self._slotted:
                template = self.template.without(empty)
                self._slotted[empty] = Slotted(template, self.vocabulary, limits)
            return self._slotted[empty].lay(contents, canonical=self.canonical, limits=limits)

    def _values(self, output: str) -> dict[str, tuple[Slot, str, int, int]]:
        """The slots of an output by JSON Pointer, each with its value and the bytes of the output it takes."""
        data = output.encode("utf-8", "surrogatepass")
        slots = self.template.quoted(data)
        return {
            leaf.pointer: (slots[leaf.pointer], json.loads(data[leaf.start : leaf.end]), leaf.start, leaf.end)
            for leaf in scan(data + b" ").leaves
            if leaf.pointer in slots and leaf.end is not None
        }

    def spans(self, output: str, text: str) -> dict[str, list[tuple[int, int]]]:
        """Where in ``text`` the strings of an output stand; see `Constraint.spans`."""
        found = {}
        for pointer, (slot, value, _, _) in self._values(output).items():
            places = _places(slot, value, text)
            if places:
                found[pointer] = places
        return found

    def spelt(self, output: str, text: str) -> str:
        """An output spelt as ``text``; see `Constraint.spelt`."""
        if not self.ignores_case:
            return output
        data, at, parts = output.encode(), 0, []
        for slot, value, start, end in self._values(output).values():
            own = next((Passage(text, part.reading).spelt(value) for part in slot.parts), value)
            if own != value:
                ascii_only = slot.ascii_only
                parts += [data[at:start], json.dumps(own, ensure_ascii=ascii_only).encode()]
                at = end
        return b"".join([*parts, data[at:]]).decode()


@functools.cache
def load_kernels() -> None:
    """Load the compiled kernels that lay texts (on the very first use of an installation, compile them)."""
    patient = Limits(seconds=math.inf)
    letters = TokenTable([b"a", b'"', b" ", None], (3,), lambda text: ['a" '.index(letter) for letter in text], "slots")
    template = Template(compile_tree(mark(0), patient), [Slot((Part(Reading()),), literal("a"))])
    Slotted(template, Vocabulary(letters), patient).lay(template.contents("a a", patient), limits=patient)


_known: WeakKeyDictionary[Template, dict[tuple[object, ...], Laying]] = WeakKeyDictionary()


def _places(slot: Slot, value: str, text: str) -> list[tuple[int, int]]:
    every = (Passage(text, part.reading).find(value) for part in slot.parts)
    return next((places for places in every if places), [])
