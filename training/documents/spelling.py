"""How texts of several languages spell dates, times and numbers.

>>> date_spellings(date(2024, 3, 12), "de")[0], number_text(1234.5, "de", 2)
('12. März 2024', '1.234,50')
"""

# ruff: noqa: SIM905 (lists of words read better as a line)
from __future__ import annotations

from datetime import date

MONTHS = {
    "en": "January February March April May June July August September October November December".split(),
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(),
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split(),
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre".split(),
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro".split(),
    "nl": "januari februari maart april mei juni juli augustus september oktober november december".split(),
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada "
          "grudnia".split(),
    "tr": "Ocak Şubat Mart Nisan Mayıs Haziran Temmuz Ağustos Eylül Ekim Kasım Aralık".split(),
    "sv": "januari februari mars april maj juni juli augusti september oktober november december".split(),
    "da": "januar februar marts april maj juni juli august september oktober november december".split(),
}  # fmt: skip
OF = {"es": " de ", "pt": " de "}
WORDS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve".split(),
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf".split(),
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze".split(),
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce".split(),
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici".split(),
    "pt": "zero um dois três quatro cinco seis sete oito nove dez onze doze".split(),
    "nl": "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf".split(),
    "pl": "zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć dziesięć jedenaście dwanaście".split(),
    "sv": "noll ett två tre fyra fem sex sju åtta nio tio elva tolv".split(),
    "da": "nul en to tre fire fem seks syv otte ni ti elleve tolv".split(),
    "tr": "sıfır bir iki üç dört beş altı yedi sekiz dokuz on onbir oniki".split(),
}
ROUND = {
    "de": {15: "fünfzehn", 20: "zwanzig", 30: "dreißig", 40: "vierzig", 50: "fünfzig", 60: "sechzig", 80: "achtzig",
           100: "hundert", 200: "zweihundert"},
    "fr": {13: "treize", 15: "quinze", 20: "vingt", 25: "vingt-cinq", 30: "trente", 40: "quarante", 50: "cinquante",
           60: "soixante", 80: "quatre-vingts", 100: "cent", 200: "deux cents"},
    "es": {13: "trece", 15: "quince", 20: "veinte", 25: "veinticinco", 30: "treinta", 40: "cuarenta", 50: "cincuenta",
           60: "sesenta", 100: "cien", 200: "doscientos"},
    "it": {15: "quindici", 20: "venti", 25: "venticinque", 30: "trenta", 40: "quaranta", 50: "cinquanta",
           60: "sessanta", 100: "cento", 200: "duecento"},
    "pt": {15: "quinze", 20: "vinte", 30: "trinta", 40: "quarenta", 50: "cinquenta", 60: "sessenta", 100: "cem"},
    "nl": {15: "vijftien", 20: "twintig", 25: "vijfentwintig", 30: "dertig", 40: "veertig", 50: "vijftig",
           60: "zestig", 80: "tachtig", 100: "honderd"},
    "pl": {15: "piętnaście", 20: "dwadzieścia", 30: "trzydzieści", 40: "czterdzieści", 50: "pięćdziesiąt", 100: "sto"},
    "sv": {15: "femton", 20: "tjugo", 30: "trettio", 40: "fyrtio", 50: "femtio", 60: "sextio", 100: "hundra"},
    "da": {15: "femten", 20: "tyve", 30: "tredive", 40: "fyrre", 60: "tres", 80: "firs", 100: "hundrede"},
    "tr": {15: "onbeş", 20: "yirmi", 30: "otuz", 40: "kırk", 50: "elli", 60: "altmış", 80: "seksen", 100: "yüz"},
}  # fmt: skip
DE_TENS = {20: "zwanzig", 30: "dreißig", 40: "vierzig", 50: "fünfzig", 60: "sechzig", 70: "siebzig", 80: "achtzig",
           90: "neunzig"}  # fmt: skip
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
TEENS = "thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
GROUPS = {"en": ",", "de": ".", "fr": " ", "es": ".", "it": ".", "pt": ".", "nl": ".", "pl": " ", "sv": " ", "da": ".",
          "tr": "."}  # fmt: skip
SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "CHF": "CHF", "PLN": "zł", "JPY": "¥", "INR": "₹", "SEK": "kr",
         "DKK": "kr", "BRL": "R$", "CAD": "CA$", "AUD": "A$", "TRY": "TL"}  # fmt: skip
CURRENCIES = {
    "en": ["USD", "USD", "GBP", "EUR", "INR", "CAD", "AUD", "CHF"], "de": ["EUR", "EUR", "CHF"], "fr": ["EUR", "CHF"],
    "es": ["EUR", "USD"], "it": ["EUR"], "pt": ["EUR", "BRL"], "nl": ["EUR"], "pl": ["PLN"], "sv": ["SEK"],
    "da": ["DKK"], "tr": ["TRY"],
}  # fmt: skip


def english_words(n: int) -> str:
    """0 to 9,999 in English words.

    >>> english_words(42), english_words(250), english_words(1100)
    ('forty-two', 'two hundred and fifty', 'one thousand one hundred')
    """
    if n <= 12:
        return WORDS["en"][n]
    if n < 20:
        return TEENS[n - 13]
    if n < 100:
        return TENS[n // 10 - 2] + (f"-{WORDS['en'][n % 10]}" if n % 10 else "")
    big, name, small = (n // 100, "hundred", n % 100) if n < 1000 else (n // 1000, "thousand", n % 1000)
    link = " and " if name == "hundred" else " "
    return f"{english_words(big)} {name}" + (link + english_words(small) if small else "")


def in_words(n: int, language: str) -> str | None:
    """``n`` in words; None where this module does not know how the language spells it.

    >>> in_words(12, "en"), in_words(47, "de"), in_words(40, "es"), in_words(77, "pl")
    ('twelve', 'siebenundvierzig', 'cuarenta', None)
    """
    if language == "en":
        return english_words(n) if 0 <= n < 10_000 else None
    if 0 <= n <= 12:
        return WORDS[language][n]
    if language == "de" and 20 < n < 100 and n % 10:
        return ("ein" if n % 10 == 1 else WORDS["de"][n % 10]) + "und" + DE_TENS[n - n % 10]
    return ROUND[language].get(n)


def ordinal(n: int) -> str:
    """
    >>> ordinal(1), ordinal(12), ordinal(23)
    ('1st', '12th', '23rd')
    """
    return f"{n}" + ("th" if 10 < n % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th"))


def date_spellings(day: date, language: str) -> list[str]:
    """Spellings of a day with its year that can be read in one way only; the most frequent first."""
    month, d, y = MONTHS[language][day.month - 1], day.day, day.year
    if language == "en":
        found = [f"{d} {month} {y}", f"{month} {d}, {y}", f"{month[:3]} {d}, {y}", f"{d} {month[:3]} {y}",
                 f"{ordinal(d)} {month} {y}", f"{ordinal(d)} of {month} {y}", f"{month} {ordinal(d)}, {y}",
                 f"{d}-{month[:3]}-{y}", f"{month} {d} {y}", f"{day:%Y/%m/%d}"]  # fmt: skip
        if d > 12:
            found += [f"{day:%m/%d/%Y}", f"{day:%d/%m/%Y}"]
    elif language == "de":
        found = [f"{d}. {month} {y}", f"{day:%d.%m.%Y}", f"{d}.{day.month}.{y}", f"{day:%d.%m.%y}"]
    elif language in OF:
        found = [OF[language].join([str(d), month, str(y)]), f"{day:%d/%m/%Y}", f"{d}/{day.month}/{y}"]
    elif language == "tr":
        found = [f"{d} {month} {y}", f"{day:%d.%m.%Y}", f"{d}.{day.month}.{y}"]
    elif language == "pl":
        found = [f"{d} {month} {y}", f"{day:%d.%m.%Y}", f"{d} {month} {y} r."]
    elif language in ("nl", "fr", "it"):
        first = "1er" if language == "fr" and d == 1 else str(d)
        found = [f"{first} {month} {y}", f"{day:%d-%m-%Y}" if language == "nl" else f"{day:%d/%m/%Y}"]
    else:
        found = [f"{d} {month} {y}", f"{day:%d.%m.%Y}" if language == "da" else f"{day:%Y-%m-%d}"]
    return [*found, day.isoformat()]


def yearless(day: date, language: str) -> list[str]:
    """Spellings without the year."""
    month, d = MONTHS[language][day.month - 1], day.day
    if language == "en":
        return [
            f"{month} {d}",
            f"{d} {month}",
            f"{ordinal(d)} {month}",
            f"{month[:3]} {d}",
            f"the {ordinal(d)} of {month}",
        ]
    if language == "de":
        return [f"{d}. {month}", f"{day:%d.%m.}"]
    return [OF.get(language, " ").join([str(d), month])]


def time_spellings(hour: int, minute: int, language: str) -> list[str]:
    """Spellings of a time of day; the first is HH:MM."""
    plain = f"{hour:02d}:{minute:02d}"
    if language == "en":
        half, h = ("am" if hour < 12 else "pm"), (hour - 1) % 12 + 1
        short = f"{h}:{minute:02d}" if minute else f"{h}"
        return [plain, plain, f"{h}:{minute:02d} {half}", f"{short}{half}", f"{h}:{minute:02d} {half.upper()}",
                f"{short} {half[0]}.{half[1]}."]  # fmt: skip
    if language == "fr":
        return [plain, f"{hour}h{minute:02d}", f"{hour} h {minute:02d}"]
    dotted = [f"{hour}.{minute:02d}"] if language in ("de", "it", "da", "pl", "tr") else []
    return [plain, f"{hour}:{minute:02d}", *dotted]


def number_text(value: float, language: str, decimals: int, grouped: bool = True) -> str:
    """A number with the language's separators.

    >>> number_text(1234567, "en", 0), number_text(0.5, "fr", 1)
    ('1,234,567', '0,5')
    """
    text = f"{value:,.{decimals}f}" if grouped else f"{value:.{decimals}f}"
    if language == "en":
        return text
    return text.replace(",", "\0").replace(".", ",").replace("\0", GROUPS[language])


def money_text(value: float, currency: str, language: str, form: int, cents: bool) -> str:
    """An amount with the sign or the code of its currency, in one of a few forms; whole amounts may go without cents.

    >>> money_text(1250.0, "EUR", "en", 0, False), money_text(3.5, "EUR", "de", 2, True)
    ('€1,250', '3,50 EUR')
    """
    decimals = 0 if value == int(value) and (not cents or currency == "JPY") else 2
    number = number_text(value, language, decimals, form % 7 != 5)
    sign = SIGNS[currency]
    if language == "en":
        glued = f"{sign} {number}" if sign.isalpha() or sign == "zł" else f"{sign}{number}"
        return [glued, glued, glued, f"{number} {currency}", f"{currency} {number}"][form % 5]
    return [f"{number} {sign}", f"{number} {sign}", f"{number} {currency}", f"{currency} {number}"][form % 4]
