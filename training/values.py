"""Values the training texts are about: mostly random syllables, which a model can only copy.

>>> person(random.Random(0), "values").split()[1] in HELD_LAST
True
"""

# ruff: noqa: SIM905 (lists of words read better as a line)
from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Value = Callable[[random.Random, str], Any]

ONSETS = "b c d f g h j k l m n p r s t v w z b d f g k l m n r s t br ch dr fr gr kr pr sh st th tr".split()
VOWELS = "a e i o u a e i o u ai ea ee ou ie".split()
CODAS = ["", "", "", "", "", "", "n", "r", "s", "l", "t", "m", "nd", "rk", "x"]
NAMES = (
    "Ann Ben Carla David Elena Frank Grace Henry Iris Jack Karen Liam Maria Noah Olga Peter Quinn Rosa Sam Tina".split()
)
LAST = "Lee Smith Brown Garcia Miller Novak Rossi Khan Silva Weber Young Adams Baker Clark Diaz Evans Ford Hill".split()
CITIES = "Berlin Paris Oslo Madrid Lisbon Vienna Prague Dublin Athens Zurich Boston Denver Tokyo Cairo Lima".split()
NOUNS = "lamp desk chair phone cable printer keyboard jacket bottle ticket router camera bike tent mug kettle".split()
HELD_NAMES = "Yusuf Ingrid Mateo Freya Dmitri Aiko Leila Oscar Petra Hugo".split()
HELD_LAST = "Okafor Lindqvist Tanaka Moreau Petrov Haddad Kowalski Ferrari Nguyen Brandt".split()
HELD_CITIES = "Porto Geneva Seville Krakow Bergen Turin Leeds Nantes Quito Hanoi".split()
HELD_NOUNS = "helmet blender carpet drill guitar heater ladder notebook pillow scarf speaker wallet".split()
TOPS = "com org net io es de fr eu".split()
MONTHS = "January February March April May June July August September October November December".split()
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"


def syllables(r: random.Random, low: int = 1, high: int = 3) -> str:
    return "".join(r.choice(ONSETS) + r.choice(VOWELS) + r.choice(CODAS) for _ in range(r.randint(low, high)))


def key(r: random.Random, split: str) -> str:
    """A made-up key of one or two words, as a schema writes it; texts write its words apart."""
    joined = r.choice(["_", "_", "-"]) if r.random() < 0.9 else ""
    return joined.join(syllables(r, 1, 2) for _ in range(r.choice([1, 1, 2])))


def word(r: random.Random, split: str = "train") -> str:
    return syllables(r).capitalize()


def person(r: random.Random, split: str) -> str:
    if split != "train":
        return f"{r.choice(HELD_NAMES)} {r.choice(HELD_LAST)}"
    if r.random() < 0.85:
        return f"{word(r)} {word(r)}" if r.random() < 0.8 else word(r)
    return f"{r.choice(NAMES)} {r.choice(LAST)}"


def place(r: random.Random, split: str) -> str:
    if split != "train":
        return r.choice(HELD_CITIES)
    return word(r) if r.random() < 0.85 else r.choice(CITIES)


def company(r: random.Random, split: str) -> str:
    return f"{word(r)} {r.choice(['Ltd', 'Inc', 'GmbH', 'Labs', 'Group', 'Foods', 'Media'])}"


def thing(r: random.Random, split: str) -> str:
    if split != "train":
        return r.choice(HELD_NOUNS)
    return syllables(r) if r.random() < 0.8 else r.choice(NOUNS)


def title(r: random.Random, split: str) -> str:
    words = [syllables(r, 1, 2) if r.random() < 0.7 else thing(r, split) for _ in range(r.randint(2, 3))]
    return " ".join(w.capitalize() for w in words) if r.random() < 0.5 else " ".join(words)


def email(r: random.Random, split: str) -> str:
    if r.random() < 0.25:  # made of a person's name, as most addresses are
        return (
            f"{person(r, split).lower().replace(' ', r.choice(['.', '', '_']))}@{syllables(r, 1, 2)}.{r.choice(TOPS)}"
        )
    user = r.choice(["", ".", "_"]).join((syllables(r, 1, 2), syllables(r, 1, 2)))
    return f"{user}@{syllables(r, 1, 2)}.{r.choice(TOPS)}"


def phone(r: random.Random, split: str) -> str:
    digits = "".join(r.choice("0123456789") for _ in range(r.randint(6, 10)))
    form = r.random()
    if form < 0.3:
        return f"+{r.randint(1, 99)} {digits}"
    if form < 0.75:
        return f"{digits[:3]}-{digits[3:]}"
    return f"{digits[:3]} {digits[3:6]} {digits[6:]}".strip() if form < 0.9 else digits


def code(r: random.Random, split: str) -> str:
    letters = "".join(r.choice(LETTERS) for _ in range(r.randint(1, 3)))
    return letters + r.choice(["-", "-", ""]) + str(r.randint(100, 9999))


def date(r: random.Random, split: str) -> str:
    return f"20{r.randint(10, 39)}-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}"


def spelled_date(r: random.Random, iso: str) -> str:
    """The same day in one of the spellings of English texts.

    >>> spelled_date(random.Random(0), "2024-03-05")
    '05.03.2024'
    """
    year, month, day = iso.split("-")
    name = MONTHS[int(month) - 1]
    return r.choice([f"{int(day)} {name} {year}", f"{name} {int(day)}, {year}", f"{int(day)} {name[:3]} {year}",
                     f"{day}.{month}.{year}"])  # fmt: skip


def spelled_number(r: random.Random, value: float) -> str:
    """A number as texts write it, at times with separated thousands or a sign of money.

    >>> spelled_number(random.Random(3), 1250.5)
    '€1,250.50'
    """
    digits = f"{value:,.2f}" if r.random() < 0.5 else f"{value:.2f}"
    if isinstance(value, int) or (value == int(value) and r.random() < 0.5):
        digits = digits.removesuffix(".00")
    return r.choice(["", "", "", "$", "€"]) + digits if isinstance(value, float) else digits


def clock(r: random.Random, split: str) -> str:
    return f"{r.randint(0, 23):02d}:{r.choice(['00', '15', '30', '45', f'{r.randint(0, 59):02d}'])}"


def number(low: int, high: int) -> Value:
    return lambda r, split: r.randint(low, high)


def money(r: random.Random, split: str) -> float:
    return round(r.choice([r.uniform(1, 99), r.uniform(1, 9000), float(r.randint(2, 500))]), 2)


def one_of(*options: str) -> Value:
    return lambda r, split: r.choice(options)


def yes_or_no(r: random.Random, split: str) -> bool:
    return r.random() < 0.5
