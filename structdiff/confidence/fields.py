"""How sure the model is of each field: exact posterior probabilities, taken when a canvas is committed.

At the commit the model's logits give every token of the canvas a distribution; the posterior is their product,
conditioned on the language of the constraint and the budget (docs/algorithm.md, gamma 1). With M(u) the posterior
probability that the text begins with the bytes u (`structdiff.lattice.prefixes`), and text[:a] what stands before a
value that ends at b,

    P(value | what stands before it) = M(text[:b]) / M(text[:a])

which sums over all that may follow, and over all ways to cut the bytes into tokens. A number counts as ended where
something that ends it follows. A key's presence is the probability that it, and not a later key or the closing brace,
comes next, among the outputs that tell within the canvas. A value that a canvas boundary cuts has the product of its
parts, each the probability that the canvas does not contradict the value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from structdiff.constraint.constraint import Constraint
from structdiff.core.json_spans import Gap, Leaf, Spans, pointer_of, scan
from structdiff.decode.engine import Commit
from structdiff.frontends.json_schema.places import listed_names, reference_tokens
from structdiff.lattice.prefixes import Prefixes

_BLANKS = ("", " ", *("\n" + " " * width for width in range(65)))
_AFTER_NUMBER = (b",", b"}", b"]", b" ", b"\n")


@dataclass(frozen=True)
class Field:
    """What the output says at a pointer, and how sure the model is of that, given all that stands before it.

    ``probability`` of a value is ``presence`` times the probability of the value; of an absent field (``present`` is
    False and the value None) it is 1 - ``presence``; of an optional object or array it is ``presence``, its leaves
    having their own. A required field has presence 1. ``confidence`` is how often fields of this probability are right,
    where that was measured for the model (`structdiff.confidence.calibration`), else the probability itself. ``span``
    is where a value taken from the text stands there, (start, end) in characters: its first place that no field before
    it has.

    >>> Field("Ann", 0.8).confidence, Field("Ann", 0.8, calibrated=0.6).confidence
    (0.8, 0.6)
    """

    value: Any
    probability: float
    presence: float = 1.0
    present: bool = True
    calibrated: float | None = None
    span: tuple[int, int] | None = None

    @property
    def confidence(self) -> float:
        return self.probability if self.calibrated is None else self.calibrated


class FieldMeter:
    """Listens to the commits of one row; `fields` are those of the finished text."""

    def __init__(self, constraint: Constraint, temperature: float = 1.0) -> None:
        self.constraint, self.temperature = constraint, temperature
        self.text = b""
        self.log_value: dict[str, float] = {}
        self.next_key: dict[tuple[str, str | None], dict[str, float]] = {}
        self.undecided: tuple[str, str | None] | None = None  # the gap whose key the last canvas cut
        self.json = constraint.source.traits.json
        self.names = self.json and constraint.source.traits.ordered_keys

    def __call__(self, commit: Commit) -> None:
        """Measure what a canvas adds to the text."""
        assert commit.lattice is not None  # a field is a part of what a constraint allows
        n = commit.lattice.frame.length
        posterior = commit.lattice.posterior(commit.logits[:n], self.temperature, 1.0)
        first, piece = len(self.text), self.constraint.vocabulary.bytes_of(commit.tokens)
        self.text += piece
        beginnings = Prefixes(posterior, self.constraint.vocabulary, piece)
        spans = scan(self.text) if self.json else Spans()
        if not self.json or not self.text.lstrip().startswith((b"{", b"[")):
            log = beginnings.log_whole(piece, commit.left) if commit.last else beginnings.log(piece)
            self._multiply("", log)
            return
        for leaf in spans.leaves:
            self._measure_leaf(leaf, beginnings, first)
        if self.names:
            for gap in spans.gaps:
                again = (gap.pointer, gap.before) == self.undecided
                if first <= gap.place < len(self.text) or again:
                    self.undecided = None
                    self._measure_gap(gap, beginnings, first)

    def _multiply(self, pointer: str, log: float) -> None:
        self.log_value[pointer] = self.log_value.get(pointer, 0.0) + log

    def _measure_leaf(self, leaf: Leaf, beginnings: Prefixes, first: int) -> None:
        end = len(self.text) if leaf.end is None else leaf.end
        if end + leaf.number <= first:
            return
        value = self.text[leaf.start : end]
        ends = _AFTER_NUMBER if leaf.number and leaf.end is not None else (b"",)
        texts = [blank.encode() + value + last for blank in _BLANKS for last in ends]
        beginning = _Beginning(beginnings, self.text, first, leaf.after)
        log = np.logaddexp.reduce([*beginning.logs(texts), *beginning.cut(texts).values()])
        self._multiply(leaf.pointer, float(log) - beginnings.log(beginning.before))

    def _measure_gap(self, gap: Gap, beginnings: Prefixes, first: int) -> None:
        listed = listed_names(self.constraint.source.schema, gap.pointer)
        names = list(listed)
        names = names[names.index(gap.before) + 1 if gap.before in names else 0 :]
        last = gap.key if gap.key in names else next((name for name in names if listed[name]), None)
        names = names[: names.index(last) + 1] if last is not None else names
        if not names or (len(names) == 1 and listed[names[0]]):
            return  # required, and no other name could come first
        beginning = _Beginning(beginnings, self.text, first, gap.start)
        texts = {name: list(_keys(name, gap.before is not None)) for name in names}
        every = [text for some in texts.values() for text in some]
        if gap.number and gap.start >= first:
            base = np.logaddexp.reduce(list(beginning.logs(_AFTER_NUMBER)))
            cut = beginning.cut(every, without=beginning.before)
        else:
            base, cut = beginnings.log(beginning.before), beginning.cut(every)
        decided = math.exp(base) - sum(map(math.exp, cut.values()))
        if gap.cut and decided < 1e-6 * math.exp(base):
            self.undecided = gap.pointer, gap.before
        elif decided > 1e-12 * math.exp(base):
            self.next_key[gap.pointer, gap.before] = {
                name: sum(map(math.exp, beginning.logs(some))) / decided for name, some in texts.items()
            }

    def fields(self) -> dict[str, Field]:
        """The fields of the finished text by pointer, in its order; absent ones last."""
        if not self.json:
            return {"": Field(self.text.decode("utf-8", "replace"), self._value_probability(""))}
        value = json.loads(self.text)
        spans = scan(self.text + b" ")
        presence, absent = self._presences(spans)
        places = {leaf.pointer: leaf.start for leaf in spans.leaves}
        optional = {
            pointer: start
            for pointer, (start, _) in spans.members.items()
            if pointer not in places and presence.get(pointer, 1.0) < 1.0
        }
        out = {}
        for pointer in sorted(places | optional, key=lambda name: (places | optional)[name]):
            there = presence.get(pointer, 1.0)
            leaf = self._value_probability(pointer) if pointer in places else 1.0
            out[pointer] = Field(value_at(value, pointer), there * leaf, there)
        return out | absent

    def _value_probability(self, pointer: str) -> float:
        return math.exp(min(self.log_value[pointer], 0.0))

    def _presences(self, spans: Spans) -> tuple[dict[str, float], dict[str, Field]]:
        """(the presence of keys that are there, the fields that are absent)."""
        presence: dict[str, float] = {}
        absent: dict[str, Field] = {}
        for gap in spans.gaps:
            rest = 1.0  # what is left when the names before have not come
            for name, share in self.next_key.get((gap.pointer, gap.before), {}).items():
                here = min(share / rest, 1.0) if rest > 1e-9 else 1.0
                rest -= share
                pointer = pointer_of(gap.pointer, name)
                if name == gap.key:
                    presence[pointer] = here
                    break
                absent[pointer] = Field(None, 1.0 - here, here, present=False)
        return presence, absent


class _Beginning:
    """What may stand behind byte ``after`` of a text, seen from the canvas that begins at byte ``first``."""

    def __init__(self, beginnings: Prefixes, text: bytes, first: int, after: int) -> None:
        self.beginnings, self.before = beginnings, text[first : max(after, first)]
        self.written = text[after : max(after, first)]  # in the canvas before

    def _here(self, texts: Sequence[bytes]) -> Iterator[bytes]:
        for text in texts:
            if text.startswith(self.written):
                yield self.before + text[len(self.written) :]

    def logs(self, texts: Sequence[bytes]) -> Iterator[float]:
        """The log probabilities that the canvas's text goes on with each of ``texts``."""
        return map(self.beginnings.log, self._here(texts))

    def cut(self, texts: Sequence[bytes], without: bytes | None = None) -> dict[bytes, float]:
        """The log probabilities that the canvas is full within one of ``texts``, by what is written of it then."""
        found: dict[bytes, float] = {}
        for text in self._here(texts):
            at = len(self.before)
            for j, log in enumerate(self.beginnings.log_cut(text, at), at):
                found[text[:j]] = float(log)
        if without is not None:
            found.pop(without, None)
        return found


def value_at(value: Any, pointer: str) -> Any:
    """The part of a JSON value at a pointer.

    >>> value_at({"a": [{"b/c": 1}]}, "/a/0/b~1c")
    1
    """
    for token in reference_tokens(pointer):
        value = value[int(token)] if isinstance(value, list) else value[token]
    return value


def _keys(name: str, comma: bool) -> Iterator[bytes]:
    """What may be written from the end of the member before to the end of the key."""
    for key in dict.fromkeys((json.dumps(name, ensure_ascii=False), json.dumps(name))):
        for blank in _BLANKS:
            yield f"{',' if comma else ''}{blank}{key}".encode()
