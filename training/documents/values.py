"""Values that documents are about, in many languages, from Faker, mimesis and a few lists.

Every maker takes a `World` and the words behind its name in a declaration; it returns a `Fact` without names.
"""

# ruff: noqa: E501, SIM905 (lists of words read better as a line)
from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from typing import Any

from faker import Faker
from mimesis import Food, Hardware, Text, Transport
from mimesis.locales import Locale

from training.documents.facts import Fact
from training.documents.goods import GOODS
from training.documents.spelling import (
    CURRENCIES,
    date_spellings,
    in_words,
    money_text,
    number_text,
    time_spellings,
    yearless,
)
from training.values import WORDS as ENGLISH_WORDS
from training.values import plain, syllables

LOCALES = {
    "en": "en_US en_US en_GB en_GB en_CA en_AU en_NZ en_IE en_IN".split(),
    "de": "de_DE de_DE de_AT de_CH".split(), "fr": "fr_FR fr_FR fr_CA fr_CH".split(),
    "es": "es_ES es_ES es_MX es_CO es_CL es_AR".split(), "it": ["it_IT"], "pt": ["pt_PT", "pt_BR"], "nl": ["nl_NL"],
    "pl": ["pl_PL"], "sv": ["sv_SE"], "da": ["da_DK"], "tr": ["tr_TR"],
}  # fmt: skip
ABROAD = (
    "de_DE fr_FR es_ES it_IT pt_BR nl_NL pl_PL sv_SE fi_FI cs_CZ hu_HU ro_RO hr_HR tr_TR vi_VN id_ID no_NO da_DK en_IN "
    "ro_RO sk_SK sl_SI lt_LT et_EE lv_LV"
).split()
OTHER_SCRIPTS = "ja_JP zh_CN ko_KR ru_RU uk_UA el_GR ar_SA he_IL hi_IN th_TH bg_BG fa_IR ka_GE hy_AM".split()


@cache
def faker(locale: str) -> Faker:
    return Faker(locale)


def draw(r: random.Random, locale: str, what: str) -> str:
    """A value of one of Faker's providers, on one line; that of en_US where the locale has none."""
    source = faker(locale)
    source.seed_instance(r.getrandbits(32))
    try:
        found = str(getattr(source, what)())
    except (AttributeError, NotImplementedError):
        source = faker("en_US")
        source.seed_instance(r.getrandbits(32))
        found = str(getattr(source, what)())
    return " ".join(found.replace("\n", ", ").split())


class World:
    """What one document's values share: random numbers, a language, a locale, a currency and a day it is about."""

    def __init__(self, r: random.Random, language: str) -> None:
        self.r, self.language = r, language
        self.locale = r.choice(LOCALES[language])
        self.currency = r.choice(CURRENCIES[language])
        self.today = date(r.randint(1998, 2031), 1, 1) + timedelta(days=r.randint(0, 364))
        self.date_form = r.randrange(1000)
        self.time_form = r.randrange(1000)
        self.money_form, self.cents = r.randrange(140), r.choice([0.0, 0.5, 1.0, 1.0])
        self.same_forms = r.random() < 0.88

    def amount(self, value: float) -> str:
        form = self.money_form if self.r.random() < 0.93 else self.r.randrange(140)
        return money_text(value, self.currency, self.language, form, self.r.random() < self.cents)

    def some_locale(self) -> str:
        """Mostly the document's own; at times another country's, seldom one of another script."""
        x = self.r.random()
        return self.locale if x < 0.72 else self.r.choice(ABROAD) if x < 0.95 else self.r.choice(OTHER_SCRIPTS)


Maker = Callable[[World, str], Fact]


def text(shown: str, **extra: str) -> Fact:
    return Fact("text", (), shown, shown, extra=extra)


def person(w: World, arg: str) -> Fact:
    locale, r = w.some_locale(), w.r
    first, last = draw(r, locale, "first_name"), draw(r, locale, "last_name")
    if locale == "ja_JP" and r.random() < 0.7:
        locale, first, last = "", draw(r, locale, "first_romanized_name"), draw(r, locale, "last_romanized_name")
    if r.random() < 0.04:
        first, last = syllables(r).capitalize(), syllables(r, 2, 3).capitalize()
    if locale in ("ja_JP", "zh_CN", "ko_KR"):
        full = last + first if locale == "zh_CN" else f"{last} {first}"
    else:
        x = r.random()
        middle = "" if x < 0.9 else f" {r.choice('ABCDEFGHJKLMNPRSTW')}."
        full = f"{first}{middle} {last}"
        if arg == "titled" or (arg != "plain" and r.random() < 0.03):
            full = f"{r.choice(['Dr.', 'Prof.', 'Dr', 'Dr.', 'Ms', 'Mr.'])} {full}"
    return text(full, first=first, last=last, initial=f"{first[:1]}. {last}")


def company(w: World, arg: str) -> Fact:
    r = w.r
    if r.random() < 0.7:
        return text(draw(r, w.some_locale(), "company"))
    head = r.choice([syllables(r, 2, 3).capitalize(), r.choice(ENGLISH_WORDS).capitalize(),
                     draw(r, w.some_locale(), "last_name")])  # fmt: skip
    tail = r.choice(
        "Systems Labs Logistics Foods Media Works Studio Group Energy Robotics Textiles Consulting Partners "
        "Bakery Motors Pharma Garden Books Travel Insurance Bank Clinic Analytics Optics".split()
    )
    legal = {"en": ["", "", " Ltd", " Inc.", " LLC", " plc"], "de": [" GmbH", " AG", " KG", ""], "fr": [" SARL", " SA", ""],
             "es": [" S.L.", " S.A.", ""], "it": [" S.r.l.", " S.p.A.", ""], "pt": [" Lda.", " Ltda.", ""],
             "nl": [" B.V.", ""], "pl": [" Sp. z o.o.", ""], "sv": [" AB", ""], "da": [" ApS", ""], "tr": [" A.Ş.", " Ltd. Şti.", ""]}  # fmt: skip
    return text(f"{head} {tail}{r.choice(legal[w.language])}")


def faked(what: str, own_locale: bool = False) -> Maker:
    return lambda w, arg: text(draw(w.r, w.locale if own_locale else w.some_locale(), what))


def city(w: World, arg: str) -> Fact:
    return text(draw(w.r, w.some_locale(), "city"))


def street(w: World, arg: str) -> Fact:
    return text(draw(w.r, w.locale, "street_address"))


def address(w: World, arg: str) -> Fact:
    return text(draw(w.r, w.locale, "address"))


def phone(w: World, arg: str) -> Fact:
    return text(draw(w.r, w.some_locale(), "phone_number"))


def email(w: World, arg: str) -> Fact:
    r = w.r
    x = r.random()
    if x < 0.4:
        found = draw(r, w.locale, "ascii_email" if hasattr(faker(w.locale), "ascii_email") else "email")
    elif x < 0.7:
        first, last = draw(r, w.locale, "first_name"), draw(r, w.locale, "last_name")
        user = r.choice(["{f}.{l}", "{f}", "{i}{l}", "{f}_{l}", "{l}.{f}", "{f}-{l}"])
        user = user.format(f=plain(first), l=plain(last), i=plain(first)[:1])
        found = f"{user}@{plain(r.choice(ENGLISH_WORDS))}{r.choice(['', '-group', '-online', 'works'])}." + r.choice(
            "com org net io eu de fr es it pl co.uk example example.com".split()
        )
    else:
        box = r.choice("info contact sales billing support office hello orders jobs press service accounts".split())
        found = f"{box}@{plain(syllables(r, 2, 3))}.{r.choice('com org net io eu de fr co.uk'.split())}"
    return Fact("email", (), found, found)


def url(w: World, arg: str) -> Fact:
    r = w.r
    found = f"https://{r.choice(['www.', '', 'shop.', 'docs.'])}{plain(syllables(r, 2, 3))}.{r.choice('com org net io eu de fr'.split())}"
    found += r.choice(
        ["", "", f"/{r.choice(ENGLISH_WORDS).lower()}", f"/{r.choice(ENGLISH_WORDS).lower()}/{r.randint(1, 9999)}"]
    )
    return Fact("url", (), found, found)


def day(w: World, arg: str) -> Fact:
    """``arg``: LOW-HIGH days from the document's day, "birth" for a date of birth, "short" for one without a year."""
    r = w.r
    if arg.startswith("birth"):
        when = date(r.randint(1935, 2010), 1, 1) + timedelta(days=r.randint(0, 364))
    else:
        low, high = bounds(arg.replace("short", "").strip() or "0-120")
        when = w.today + timedelta(days=r.randint(low, high))
    if "short" in arg:
        return Fact("date", (), None, r.choice(yearless(when, w.language)))
    forms = date_spellings(when, w.language)
    at = (
        w.date_form % (len(forms) if r.random() < 0.8 else min(2, len(forms)))
        if w.same_forms
        else r.randrange(len(forms))
    )
    return Fact("date", (), when.isoformat(), forms[at])


def bounds(arg: str) -> tuple[int, int]:
    """
    >>> bounds("3-40"), bounds("-30-0"), bounds("7")
    ((3, 40), (-30, 0), (7, 7))
    """
    found = re.fullmatch(r"(-?\d+)(?:-(-?\d+))?", arg.strip())
    if not found:
        raise ValueError(f"{arg!r} is no range LOW-HIGH")
    return int(found[1]), int(found[2] or found[1])


def clock(w: World, arg: str) -> Fact:
    r = w.r
    low, high = bounds(arg or "7-20")
    hour, minute = r.randint(low, high), r.choice([0, 0, 0, 15, 30, 30, 45, r.randint(0, 59)])
    forms = time_spellings(hour, minute, w.language)
    shown = forms[w.time_form % len(forms)]
    return Fact("clock", (), f"{hour:02d}:{minute:02d}", shown)


def moment(w: World, arg: str) -> Fact:
    """A date and a time in UTC."""
    r = w.r
    when = w.today + timedelta(days=r.randint(0, 60))
    h, m, s = r.randint(0, 23), r.randint(0, 59), r.choice([0, r.randint(0, 59)])
    iso = f"{when}T{h:02d}:{m:02d}:{s:02d}Z"
    forms = [iso, iso, f"{when} {h:02d}:{m:02d}:{s:02d} UTC", f"{when} {h:02d}:{m:02d}:{s:02d}Z"]
    if s == 0:
        forms += [f"{one}, {h:02d}:{m:02d} UTC" for one in date_spellings(when, w.language)[:2]]
    return Fact("datetime", (), iso, r.choice(forms))


def integer(w: World, arg: str) -> Fact:
    """``arg``: LOW-HIGH, and "words" where small ones may be written out."""
    r = w.r
    low, high = bounds(arg.replace("words", "").replace("plain", "").strip())
    value = r.randint(low, high)
    if high > 1000 and r.random() < 0.5:  # as many small ones as large ones
        value = r.randint(low, max(low, min(high, 10 ** r.randint(1, len(str(high))))))
    shown = str(value)
    if value >= 1000 and "plain" not in arg and r.random() < 0.6:
        shown = number_text(value, w.language, 0)
    if "words" in arg and r.random() < 0.5:
        known = [*range(2, 13), 15, 20, 30, 40, 50, 60, 100, 200]
        value = value if value <= 12 else r.choice([n for n in known if low <= n <= high] or [value])
        shown = dozens(r, value, w.language) or (value > 1 and in_words(value, w.language)) or str(value)
    return Fact("integer", (), value, shown)


def dozens(r: random.Random, value: int, language: str) -> str:
    """A dozen and the like where the value is one, at times; else ""."""
    names = {
        ("en", 12): "a dozen", ("en", 6): "half a dozen", ("en", 2): "a couple of", ("en", 24): "two dozen",
        ("de", 12): "ein Dutzend", ("de", 6): "ein halbes Dutzend", ("fr", 12): "une douzaine de",
        ("es", 12): "una docena de", ("it", 12): "una dozzina di", ("en", 100): "a hundred", ("en", 20): "twenty",
    }  # fmt: skip
    return names.get((language, value), "") if r.random() < 0.3 else ""


def decimal(w: World, arg: str) -> Fact:
    """``arg``: LOW-HIGH with the number of decimals behind a point: "1-40.2"."""
    r = w.r
    span, _, places = arg.partition(".")
    low, high = bounds(span)
    decimals = int(places or 1)
    value = round(r.uniform(low, high), decimals)
    shown = number_text(value, w.language, decimals)
    if r.random() < 0.15 or value == int(value):
        value = float(int(value))
        shown = number_text(value, w.language, r.choice([0, decimals]))
    return Fact("number", (), value, shown)


def money(w: World, arg: str) -> Fact:
    r = w.r
    low, high = bounds(arg or "1-900")
    x = r.random()
    top = high if x < 0.5 else min(high, max(low + 1, 10 ** r.randint(1, len(str(high)))))
    value = round(r.uniform(low, top), 2)
    if r.random() < 0.35:
        value = float(round(value))
    value = max(value, float(low), 0.01)
    return Fact("number", (), value, w.amount(value), extra={"money": "yes"})


def percent(w: World, arg: str) -> Fact:
    r = w.r
    low, high = bounds(arg or "1-90")
    value = float(r.randint(low, high)) if r.random() < 0.6 else round(r.uniform(low, high), 1)
    decimals = 0 if value == int(value) else 1
    sign = r.choice(["%", "%", " %", " percent"]) if w.language == "en" else r.choice([" %", "%"])
    return Fact("number", (), value, number_text(value, w.language, decimals) + sign, extra={"bare": "yes"})


def code(w: World, arg: str) -> Fact:
    """``arg``: a pattern in which A stands for a letter, 9 for a digit, x for a hexadecimal digit; none: any."""
    r = w.r
    form = arg or r.choice(["AA-9999", "AAA-99999", "999999", "A99-999", "AA999999", "9999-99", "A9999", "99/9999", "AAA99A9",
                            "AA-2099-9999", "99999999", "A-99-AA", "xxxxxxxx", "9999.999", "AAAA-9", "#9999"])  # fmt: skip
    swap = {"A": "ABCDEFGHJKLMNPQRSTUVWXYZ", "9": string.digits, "x": "0123456789abcdef"}
    return text("".join(r.choice(swap[c]) if c in swap else c for c in form))


def iban(w: World, arg: str) -> Fact:
    found = draw(w.r, w.locale if w.locale[:2] in ("de", "fr", "es", "it", "nl", "pl", "pt") else "en_GB", "iban")
    if w.r.random() < 0.5:
        found = " ".join(found[i : i + 4] for i in range(0, len(found), 4))
    return text(found)


MIMESIS = {"en": Locale.EN, "de": Locale.DE, "fr": Locale.FR, "es": Locale.ES, "it": Locale.IT, "pt": Locale.PT, "nl": Locale.NL,
           "pl": Locale.PL, "sv": Locale.SV, "da": Locale.DA, "tr": Locale.TR}  # fmt: skip


@cache
def provider(kind: Any, language: str) -> Any:
    return kind(MIMESIS[language]) if kind in (Food, Text) else kind()


def mimesis(kind: Any, *whats: str) -> Maker:
    def make(w: World, arg: str) -> Fact:
        source = provider(kind, w.language)
        source.reseed(w.r.getrandbits(32))
        return text(str(getattr(source, w.r.choice(whats))()))

    return make


def product(w: World, arg: str) -> Fact:
    r = w.r
    heads, tails = GOODS[w.language]
    name = r.choice(tails.split("|"))
    if heads and r.random() < 0.6:
        name = f"{r.choice(heads.split())} {name}"
    x = r.random()
    if x < 0.15:
        name = f"{syllables(r, 1, 2).capitalize()} {name}"
    elif x < 0.3:
        name += f" {r.choice('ABCDEFGHKLMRSTVXZ')}{r.choice(['', '-'])}{r.randint(1, 900)}"
    elif x < 0.4 and w.language == "en":
        name += f", {r.choice(['black', 'white', 'large', 'small', 'pack of 2', 'blue', '40 cm', '1.5 l', 'size M'])}"
    elif x < 0.46:
        name = syllables(r, 2, 3).capitalize() + r.choice(["", " Pro", " Mini", " 2", " XL", " Air"])
    return text(name[:1].upper() + name[1:] if r.random() < 0.4 else name)


def made_up(w: World, arg: str) -> Fact:
    """A name of syllables or a rare word: it can only be copied."""
    r = w.r
    one = syllables(r, 1, 3) if r.random() < 0.6 else r.choice(ENGLISH_WORDS)
    return text(one.capitalize() if arg != "lower" else one)


def title(w: World, arg: str) -> Fact:
    r = w.r
    words = [r.choice(ENGLISH_WORDS) for _ in range(r.randint(2, 4))]
    return text(" ".join(x.capitalize() for x in words) if r.random() < 0.6 else " ".join(words).capitalize())


MAKERS: dict[str, Maker] = {
    "person": person, "company": company, "city": city, "street": street, "address": address, "phone": phone,
    "email": email, "url": url, "date": day, "time": clock, "datetime": moment, "int": integer, "decimal": decimal,
    "money": money, "percent": percent, "code": code, "iban": iban, "product": product, "word": made_up,
    "title": title, "job": faked("job", own_locale=True), "country": faked("country", own_locale=True),
    "postcode": faked("postcode", own_locale=True), "user": faked("user_name"), "ip": faked("ipv4"),
    "host": faked("hostname"), "plate": faked("license_plate"), "isbn": faked("isbn13"), "uuid": faked("uuid4"),
    "file": faked("file_name"), "mac": faked("mac_address"), "first": faked("first_name"),
    "last": faked("last_name"), "color": mimesis(Text, "color"), "dish": mimesis(Food, "dish"),
    "fruit": mimesis(Food, "fruit"), "vegetable": mimesis(Food, "vegetable"), "drink": mimesis(Food, "drink"),
    "food": mimesis(Food, "dish", "fruit", "vegetable", "spices"), "phone_model": mimesis(Hardware, "phone_model"),
    "car": mimesis(Transport, "car"), "airplane": mimesis(Transport, "airplane"),
}  # fmt: skip


def make_value(w: World, kind: str, arg: str) -> Fact:
    if kind not in MAKERS:
        raise ValueError(f"no values of kind {kind!r}; there are {', '.join(sorted(MAKERS))}")
    return MAKERS[kind](w, arg)
