"""Sets of characters on which engines may disagree: what is certainly in a set, and what perhaps is.

>>> space = CharSet(((9, 13), (32, 32)), ((9, 13), (28, 32)))
>>> (~space).sure[0], (~space).perhaps[:2]
((0, 8), ((0, 8), (14, 31)))
"""

from __future__ import annotations

from dataclasses import dataclass

from structdiff.automata import unicode
from structdiff.automata.unicode import Ranges


@dataclass(frozen=True, slots=True)
class CharSet:
    """Characters that every reading has (``sure``), and those that some reading has (``perhaps``, never fewer)."""

    sure: Ranges
    perhaps: Ranges

    @classmethod
    def of(cls, ranges: Ranges) -> CharSet:
        """A set without doubt."""
        return cls(ranges, ranges)

    @classmethod
    def between(cls, *readings: Ranges) -> CharSet:
        """What all of the readings have, and what one of them has."""
        sure = readings[0]
        for reading in readings[1:]:
            sure = unicode.intersect(sure, reading)
        return cls(sure, unicode.join(*readings))

    @classmethod
    def settled(cls, ranges: Ranges, settled: Ranges) -> CharSet:
        """A set that is known on the ``settled`` characters only."""
        return cls(unicode.intersect(ranges, settled), unicode.join(ranges, unicode.complement(settled)))

    def __invert__(self) -> CharSet:
        return CharSet(unicode.complement(self.perhaps), unicode.complement(self.sure))

    def __or__(self, other: CharSet) -> CharSet:
        return CharSet(unicode.join(self.sure, other.sure), unicode.join(self.perhaps, other.perhaps))

    def __and__(self, other: CharSet) -> CharSet:
        return CharSet(unicode.intersect(self.sure, other.sure), unicode.intersect(self.perhaps, other.perhaps))

    def __sub__(self, other: CharSet) -> CharSet:
        return self & ~other

    def __xor__(self, other: CharSet) -> CharSet:
        return (self - other) | (other - self)


def union(*sets: CharSet) -> CharSet:
    """The union of the sets."""
    return CharSet(unicode.join(*(one.sure for one in sets)), unicode.join(*(one.perhaps for one in sets)))


NO_CHARS = CharSet.of(())
