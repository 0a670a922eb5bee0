"""What a source allows and structdiff never writes: the honest side of every bound."""

from __future__ import annotations

from dataclasses import dataclass

MARGINAL = frozenset(("format", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"))
"""Keywords of which nothing is left out but texts that validators read differently, and digits that no double holds."""


@dataclass(frozen=True, order=True)
class Restriction:
    """A part of the language that is never written.

    ``pointer`` is the JSON Pointer of the place, ``keyword`` the keyword that allows more than is written, and
    ``reason`` says what is left out and where the bound lies.

    >>> str(Restriction("/properties/tags", "maxItems", "no more than 64 items are written"))
    'at /properties/tags: maxItems: no more than 64 items are written'
    """

    pointer: str
    keyword: str
    reason: str

    @property
    def is_marginal(self) -> bool:
        """Is it about spellings alone: texts that some validators refuse, or digits that no double tells apart?

        Marginal restrictions are listed, but neither warned of nor refused by ``strict``.
        """
        return self.keyword in MARGINAL

    def __str__(self) -> str:
        return f"at {self.pointer or '/'}: {self.keyword}: {self.reason}"


class RestrictionWarning(UserWarning):
    """A constraint writes less than its source allows; `Constraint.restrictions` lists what."""
