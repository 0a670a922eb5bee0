"""Values the training texts are about: names and words of many languages (from Faker's lists), and random syllables and
letters, which a model can only copy.

>>> person(random.Random(0), "values").split()[1] in HELD_LAST
True
"""

# ruff: noqa: SIM905 (lists of words read better as a line)
from __future__ import annotations

import importlib
import random
import re
import unicodedata
from collections.abc import Callable, Sequence
from importlib.resources import files
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
FIRMS = "Ltd Inc GmbH Labs Group Foods Media Corp LLC AG SA BV Co Partners Systems Logistics Sons Works Studio".split()
LOCALES = (
    "en_US en_GB de_DE fr_FR es_ES it_IT pl_PL nl_NL sv_SE fi_FI cs_CZ pt_PT hr_HR ro_RO hu_HU da_DK no_NO en_IN id_ID"
).split()


def read_pool(kind: str, lists: str, locales: Sequence[str] = LOCALES) -> list[str]:
    """The words of Faker's lists of a kind whose names match ``lists``, in order; no commas, no digits."""
    found: set[str] = set()
    for locale in locales:
        try:
            provider = importlib.import_module(f"faker.providers.{kind}.{locale}").Provider
        except ModuleNotFoundError:
            continue
        for name in dir(provider):
            values = getattr(provider, name)
            if re.fullmatch(lists, name) and not callable(values):
                found.update(values)
    return sorted(one for one in found if 2 <= len(one) <= 18 and re.fullmatch(r"[^\W\d_]+([' -][^\W\d_]+)*", one))


FIRST_NAMES = read_pool("person", "first_names.*") + NAMES
LAST_NAMES = read_pool("person", ".*last_names.*") + LAST
TOWNS = read_pool("address", "cities") + CITIES
JOBS = [name.lower() for name in read_pool("job", "jobs", ["en_US"])]
WORDS = sorted({*(files("structdiff") / "puzzles" / "words.txt").read_text("utf-8").split(), *NOUNS,
                *read_pool("lorem", "word_list", ["en_US"])} - {"null", "true", "false"})  # fmt: skip
HELD = {name.lower() for name in (*HELD_NAMES, *HELD_LAST, *HELD_CITIES, *HELD_NOUNS)}


def syllables(r: random.Random, low: int = 1, high: int = 3) -> str:
    return "".join(r.choice(ONSETS) + r.choice(VOWELS) + r.choice(CODAS) for _ in range(r.randint(low, high)))


def letters(r: random.Random) -> str:
    """Letters as frequent as in English, in any order: every pair of tokens comes up."""
    return "".join(r.choices("etaoinshrdlcumwfgypbvkjxqz", FREQUENT, k=r.randint(2, 9)))


FREQUENT = [12, 9, 8, 8, 7, 7, 6, 6, 6, 4, 4, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2]


def key(r: random.Random, split: str) -> str:
    """A made-up key of one or two words, as a schema writes it; texts write its words apart."""
    joined = r.choice(["_", "_", "-"]) if r.random() < 0.9 else ""
    return joined.join(syllables(r, 1, 2) for _ in range(r.choice([1, 1, 2])))


def mixed(r: random.Random, pool: Sequence[str], real: float = 0.5) -> str:
    """A word for training: one of ``pool`` that no held-out split uses, syllables or letters."""
    form = r.random()
    if form < real:
        return next(one for one in iter(lambda: r.choice(pool), None) if not set(one.lower().split()) & HELD)
    return syllables(r) if form < real + 0.7 * (1 - real) else letters(r)


def word(r: random.Random, split: str) -> str:
    return mixed(r, WORDS, 0.3).capitalize() if split == "train" else syllables(r).capitalize()


def first_upper(name: str) -> str:
    return name[:1].upper() + name[1:]


def person(r: random.Random, split: str) -> str:
    if split != "train":
        return f"{r.choice(HELD_NAMES)} {r.choice(HELD_LAST)}"
    first, last = first_upper(mixed(r, FIRST_NAMES)), first_upper(mixed(r, LAST_NAMES))
    form = r.random()
    if form < 0.72:
        return f"{first} {last}"
    if form < 0.87:
        return first
    middle = [f"{r.choice(LETTERS)}.", first_upper(mixed(r, FIRST_NAMES)), "van", "de", "von"]
    return f"{first} {r.choice(middle)} {last}" if form < 0.95 else f"{first[0]}. {last}"


def place(r: random.Random, split: str) -> str:
    return first_upper(mixed(r, TOWNS)) if split == "train" else r.choice(HELD_CITIES)


def company(r: random.Random, split: str) -> str:
    if split != "train":
        return f"{word(r, split)} {r.choice(FIRMS[:7])}"
    name = first_upper(mixed(r, r.choice([LAST_NAMES, WORDS])))
    if r.random() < 0.2:
        name += r.choice([" ", " & ", " and "]) + first_upper(mixed(r, r.choice([LAST_NAMES, WORDS])))
    return f"{name} {r.choice(FIRMS)}" if r.random() < 0.85 else name


def thing(r: random.Random, split: str) -> str:
    if split != "train":
        return r.choice(HELD_NOUNS)
    if r.random() < 0.1:
        return r.choice(NOUNS)
    name = mixed(r, WORDS)
    return f"{mixed(r, WORDS)} {name}" if r.random() < 0.2 else name + ("s" if r.random() < 0.1 else "")


def job(r: random.Random, split: str) -> str:
    return mixed(r, JOBS, 0.6) if split == "train" else thing(r, split)


def title(r: random.Random, split: str) -> str:
    if split == "train":
        words = [mixed(r, WORDS) for _ in range(r.choice([2, 2, 3, 3, 4]))]
    else:
        words = [syllables(r, 1, 2) if r.random() < 0.7 else thing(r, split) for _ in range(r.randint(2, 3))]
    return " ".join(w.capitalize() for w in words) if r.random() < 0.5 else " ".join(words)


def email(r: random.Random, split: str) -> str:
    if split == "train":
        user = r.choice(["", ".", "_", "-"]).join(mixed(r, FIRST_NAMES) for _ in range(r.choice([1, 2, 2])))
        host = r.choice(["", "", "-"]).join(mixed(r, WORDS, 0.3) for _ in range(r.choice([1, 1, 2])))
        return f"{plain(user)}@{plain(host)}.{r.choice(TOPS)}"
    if r.random() < 0.25:  # made of a person's name, as most addresses are
        return (
            f"{person(r, split).lower().replace(' ', r.choice(['.', '', '_']))}@{syllables(r, 1, 2)}.{r.choice(TOPS)}"
        )
    user = r.choice(["", ".", "_"]).join((syllables(r, 1, 2), syllables(r, 1, 2)))
    return f"{user}@{syllables(r, 1, 2)}.{r.choice(TOPS)}"


def plain(name: str) -> str:
    """``name`` in lower case without accents, blanks and signs.

    >>> plain("Zoë O'Neil-Day")
    'zoeoneil-day'
    """
    letters_only = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return "".join(c for c in letters_only if c.isalnum() or c in "._-").strip("._-") or "info"


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
