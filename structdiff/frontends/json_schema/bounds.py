"""Where unbounded things end, and how much room a count may take."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

MIN_CHARACTERS, MIN_COUNT = 48, 4
"""A maximum of characters, or of items and members, is never lowered to less than this."""
MAX_CHARACTERS = 8192
"""A string's maximum is counted to so many characters, unless it is known how long an output can be."""
CHARACTER_STATES = 14
"""The byte states of one counted character of a string: its escapes and the inside of longer characters."""

PATTERN_STATES = 80_000
"""A maximum beside a pattern or a format is counted in so many states, unless it is known how long an output can be."""


@dataclass(frozen=True)
class Bounds:
    """Where unbounded things end: free JSON and recursion by nesting, alternatives by their number.

    Free JSON nests ``free_depth`` deep, and ``root_depth`` levels of the whole text where the root value or a member of
    it is free; ``loose`` levels of it have the whitespace of the layout, the others stand on one line. A recursive
    schema goes ``recursion`` rounds and ``steps`` values deep. ``string``, ``items`` and ``members`` lower the maxima
    that a schema states; None leaves them as they are. ``excluded``: open objects hold keys that only an excluded
    alternative of `oneOf` names, with values that break it. More than ``branching`` levels deep, a value that may be an
    object is no array.
    """

    recursion: int = 3
    free_depth: int = 3
    alternatives: int = 200
    steps: int = 16
    root_depth: int = 6
    loose: int = 2
    string: int | None = None
    items: int | None = None
    members: int | None = None
    excluded: bool = True
    branching: int = 1 << 30

    def within(self, other: Bounds) -> Bounds:
        """These bounds, nesting no deeper and trying no more alternatives than the other ones."""
        nesting = ("recursion", "free_depth", "alternatives", "steps", "root_depth", "loose", "excluded", "branching")
        return replace(self, **{name: min(getattr(self, name), getattr(other, name)) for name in nesting})


LADDER = (
    Bounds(excluded=False),
    Bounds(recursion=2, free_depth=2, alternatives=24, steps=8, root_depth=5, loose=1, excluded=False),
    Bounds(recursion=1, free_depth=2, alternatives=8, steps=4, root_depth=4, loose=0, excluded=False),
    Bounds(recursion=0, free_depth=1, alternatives=4, steps=3, root_depth=3, loose=0, excluded=False),
    Bounds(recursion=0, free_depth=0, alternatives=1, steps=3, root_depth=0, loose=0, excluded=False),
)
"""Tighter and tighter bounds for schemas that are large otherwise."""
FORKS = (Bounds(branching=5), Bounds(branching=3), Bounds(branching=1))
"""The same for schemas that are large because arrays and objects stand in each other many levels deep."""


@dataclass
class Counting:
    """How far maxima are counted: as stated, unless one takes more than ``room`` states where it stands.

    No output is longer than ``horizon`` bytes: a maximum beyond it needs no counting. Where that is not known, strings
    are counted to `MAX_CHARACTERS`. ``countable`` says whether a maximum was met that would be lowered without room.

    >>> counting = Counting(Bounds(), room=1_400)
    >>> counting.characters(80, 0), counting.characters(500, 0), counting.characters(500, 200), counting.countable
    (80, 100, 200, True)
    >>> Counting(Bounds(), room=1_400, horizon=256).characters(500, 0) is None
    True
    """

    bounds: Bounds
    room: int
    horizon: int | None = None
    countable: bool = field(default=False, init=False)

    def characters(self, high: int | None, low: int, states: int = CHARACTER_STATES) -> int | None:
        """The most characters of a string that may hold ``high``, at so many states each; None: any number."""
        most = MAX_CHARACTERS if self.horizon is None else None
        if self.horizon is None and states > CHARACTER_STATES:
            most = max(PATTERN_STATES // states, MIN_CHARACTERS)
        if self.bounds.string is not None:
            most = self.bounds.string if most is None else min(most, self.bounds.string)
        return self._end(high, low, 1, 2, states, MIN_CHARACTERS, most)

    def items(self, high: int | None, low: int, states: int) -> int | None:
        """The most items of an array that may hold ``high``; an item takes ``states`` states."""
        return self._end(high, low, 2, 1, states, MIN_COUNT, self.bounds.items)

    def members(self, high: int | None, low: int, states: int) -> int | None:
        """The most members of an object that may hold ``high``; one more takes ``states`` states."""
        return self._end(high, low, 5, 1, states, MIN_COUNT, self.bounds.members)

    def _end(
        self, high: int | None, low: int, each: int, beside: int, states: int, least: int, most: int | None
    ) -> int | None:
        if high is None or (self.horizon is not None and (high + 1) * each + beside > self.horizon):
            return None  # one more, at so many bytes each, would be an output that is too long
        allowed = high if most is None else min(high, max(most, low))
        self.countable |= allowed > max(low, least)
        return min(allowed, max(low, least, self.room // max(states, 1)))
