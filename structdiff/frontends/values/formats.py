"""The formats of JSON Schema 2020-12 as languages of decoded text.

Each format follows the grammar of its RFC. Where a full decision is out of reach of a finite automaton, or where common
validators disagree, the language is a subset: every text it has is valid, and the format's note says what is missing.

>>> from structdiff.automata.compiling import compile_tree
>>> date = compile_tree(format_node("date"))
>>> [date.accepts(text) for text in (b"2024-02-29", b"2023-02-29", b"2024-2-1")]
[True, False, False]
>>> format_node("colour") is None
True
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import Embedded, Node, Repeat, literal, sequence, union
from structdiff.frontends.regex.parser import parse_regex

# ----------------------------------------------------------------------------------------------------- date and time

_FOURS = "(?:0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"(?:[0-9]{{2}}{_FOURS}|{_FOURS}00)"
_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DAY_28 = "(?:0[1-9]|1[0-9]|2[0-8])"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[1-9]|1[0-2])-{_DAY_28}|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)|{_LEAP_YEAR}-02-29)"
)
_HOURS_MINUTES = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = f"(?:{_HOURS_MINUTES}:[0-5][0-9](?:\\.[0-9]+)?(?:[Zz]|[+-]{_HOURS_MINUTES}))"
_SECONDS = "[0-9]+S"
_MINUTES = f"[0-9]+M(?:{_SECONDS})?"
_CLOCK = f"T(?:[0-9]+H(?:{_MINUTES})?|{_MINUTES}|{_SECONDS})"
_DAYS = "[0-9]+D"
_MONTHS = f"[0-9]+M(?:{_DAYS})?"
_DURATION = f"P(?:(?:[0-9]+Y(?:{_MONTHS})?|{_MONTHS}|{_DAYS})(?:{_CLOCK})?|{_CLOCK}|[0-9]+W)"

# ----------------------------------------------------------------------------------------------------------- networks

_OCTET = "(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
_IPV4 = f"{_OCTET}(?:\\.{_OCTET}){{3}}"
_GROUP = "[0-9A-Fa-f]{1,4}"


def _ipv6() -> str:
    """Eight groups, the last two perhaps as IPv4, one run of at least one zero group written as ``::``."""
    forms = [f"{_GROUP}(?::{_GROUP}){{7}}", f"(?:{_GROUP}:){{6}}{_IPV4}"]
    for left in range(8):
        head = f"{_GROUP}(?::{_GROUP}){{{left - 1}}}" if left else ""
        tails = [f"(?:{_GROUP}(?::{_GROUP}){{0,{6 - left}}})?" if left < 7 else ""]
        if left < 6:
            tails.append(f"(?:{_GROUP}:){{0,{5 - left}}}{_IPV4}")
        forms += [f"{head}::{tail}" for tail in tails]
    return "(?:" + "|".join(forms) + ")"


def _label(letters: str, longest: int | None = None) -> Node:
    """One label of a host name: letters, digits and inner hyphens, but not hyphens in places 3 and 4 (``xn--``)."""
    inner = f"[{letters}0-9-]{{0,{longest - 2 if longest else ''}}}"
    return Embedded(compile_tree(parse_regex(f"(?!..--)[{letters}0-9](?:{inner}[{letters}0-9])?")))


def _hostname() -> Node:
    """A first label of up to 63 and up to five more of up to 36 characters, so that 253 in all are never passed.

    Missing: punycode labels (``xn--``), and longer names.
    """
    first, more = _label("a-zA-Z", 63), _label("a-zA-Z", 36)
    return sequence(first, Repeat(sequence(literal("."), more), 0, 5))


_IDN_LETTERS = "a-zß-öø-ÿāăąćĉċčďđēĕėęěĝğġģĥħĩīĭįıĵķĺļľłńņňŋōŏőœŕŗřśŝşšţťŧũūŭůűųŵŷźżžά-ώа-џぁ-ゖァ-ヺ一-鿼가-힣"


def _idn_hostname() -> Node:
    """Up to three labels: ASCII as in ``hostname``, or up to ten letters of the scripts that need no context rules.

    These are Latin, Greek, Cyrillic, kana, Han and Hangul, lower case. Missing: scripts written right to left,
    combining marks, upper case, the other full stops, punycode.
    """
    label = union(_label("a-z", 63), _label(_IDN_LETTERS, 10))
    return sequence(label, Repeat(sequence(literal("."), label), 0, 2))


_ATEXT = "a-zA-Z0-9!#$%&'*+/=?^_`{|}~"
_QUOTED = r'"(?:[ !#-\[\]-~{wide}]|\\[ -~])*"'
_SUBDOMAIN = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_WIDE = "\u0080-\U0010ffff"


def _local_part(wide: str) -> Node:
    atom = f"[{_ATEXT}{wide}-]+"
    return parse_regex(f"{atom}(?:\\.{atom})*|" + _QUOTED.replace("{wide}", wide))


def _email() -> Node:
    """``Mailbox`` of RFC 5321 without its size limits: a dotted or quoted local part, a domain or an address."""
    domain = parse_regex(f"{_SUBDOMAIN}(?:\\.{_SUBDOMAIN})*")
    return sequence(_local_part(""), literal("@"), union(domain, _address_literal()))


def _idn_email() -> Node:
    """RFC 6531: any character outside ASCII in the local part; in the domain the letters of ``idn-hostname``."""
    label = _label(_IDN_LETTERS)
    domain = sequence(label, Repeat(sequence(literal("."), label)))
    ascii_domain = parse_regex(f"{_SUBDOMAIN}(?:\\.{_SUBDOMAIN})*")
    return sequence(_local_part(_WIDE), literal("@"), union(domain, ascii_domain, _address_literal()))


def _address_literal() -> Node:
    return parse_regex(f"\\[(?:{_IPV4}|IPv6:{_ipv6()})\\]")


# ---------------------------------------------------------------------------------------------------------------- URI

_UCSCHAR = "\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef"
_IPRIVATE = "\ue000-\uf8ff"
_ABOVE = "\U00010000-\U0001fffd\U00020000-\U0002fffd"
_SUB_DELIMS = "!$&'()*+,;="


def _uri(wide: str = "", private: str = "", relative: bool = False) -> Node:
    """RFC 3986, and RFC 3987 with the characters outside ASCII that it adds (``private``: in the query only).

    Missing in an IRI, because the parser behind `jsonschema` denies them: characters above U+FFFF, and IPv6 addresses
    in any form but eight groups.
    """
    address = f"{_GROUP}(?::{_GROUP}){{7}}" if wide else _ipv6()
    escape = "%[0-9A-Fa-f]{2}"
    unreserved = f"a-zA-Z0-9._~{wide}{_SUB_DELIMS}"
    pchar = f"(?:[{unreserved}:@-]|{escape})"
    user = f"(?:(?:[{unreserved}:-]|{escape})*@)?"
    ip_literal = f"\\[(?:{address}|v[0-9A-Fa-f]+\\.[a-zA-Z0-9._~{_SUB_DELIMS}:-]+)\\]"
    host = f"(?:{ip_literal}|(?:[{unreserved}-]|{escape})*)"
    segments = f"(?:/{pchar}*)*"
    rooted = f"//{user}{host}(?::[0-9]*)?{segments}|/(?:{pchar}+{segments})?"
    ending = f"(?:\\?(?:{pchar}|[/?{private}])*)?(?:#(?:{pchar}|[/?])*)?"
    absolute = parse_regex(f"[a-zA-Z][a-zA-Z0-9+.-]*:(?:{rooted}|{pchar}+{segments}|){ending}")
    if not relative:
        return absolute
    no_colon = f"(?:[{unreserved}@-]|{escape})+"
    return union(absolute, parse_regex(f"(?:{rooted}|{no_colon}{segments}|){ending}"))


def _uri_template() -> Node:
    """RFC 6570, with the apostrophe that its errata allow.

    Missing: operators reserved for extensions; and, because `jsonschema` denies them, names that begin with an escape
    and prefixes of four digits.
    """
    escape = "%[0-9A-Fa-f]{2}"
    text = f"(?:[!#$&'()*+,./0-9:;=?@A-Z\\[\\]_a-z~{_UCSCHAR}{_IPRIVATE}{_ABOVE}-]|{escape})"
    char = f"(?:[A-Za-z0-9_]|{escape})"
    variable = f"[A-Za-z0-9_](?:\\.?{char})*(?::[1-9][0-9]{{0,2}}|\\*)?"
    return parse_regex(f"(?:{text}|\\{{[+#./;?&]?{variable}(?:,{variable})*\\}})*")


# ----------------------------------------------------------------------------------------------------- pointer, regex

_POINTER = "(?:/(?:[^~/]|~[01])*)*"
_REGEX_LITERAL = r"[^\^$\\.*+?()\[\]{}|\x00-\x1f]"
_REGEX_ESCAPE = r"\\[dDwWsSnrt\^$\\.*+?()\[\]{}|/]"


def _regex() -> Node:
    """Patterns that Python and ECMA-262 both read: groups up to two deep, simple classes, ordered repeats.

    Missing: lookaround, backreferences, named groups, property escapes, deeper groups.
    """
    member = f"(?:[^\\^\\\\\\[\\]\\-&~|\\x00-\\x1f]|{_REGEX_ESCAPE}|a-z|A-Z|0-9|a-f|A-F)"
    classes = f"\\[\\^?{member}+\\]"
    pairs = "|".join(f"{low},[{low}-9]" for low in range(10))
    repeat = f"(?:[*+?]|\\{{(?:[0-9]{{1,2}},?|{pairs}|[0-9],[1-9][0-9])\\}})\\??"
    atom = f"(?:{_REGEX_LITERAL}|{_REGEX_ESCAPE}|{classes}|\\.)"
    for _ in range(2):
        body = f"(?:[\\^$|]|{atom}(?:{repeat})?)*"
        atom = f"(?:{atom}|\\((?:\\?:)?{body}\\))"
    return parse_regex(f"(?:[\\^$|]|{atom}(?:{repeat})?)*", "python")


_HEX = "[0-9A-Fa-f]"
_BUILDERS: dict[str, Callable[[], Node]] = {
    "date": lambda: parse_regex(_DATE),
    "time": lambda: parse_regex(_TIME),
    "date-time": lambda: parse_regex(f"{_DATE}[Tt]{_TIME}"),
    "duration": lambda: parse_regex(_DURATION),
    "email": _email,
    "idn-email": _idn_email,
    "hostname": _hostname,
    "idn-hostname": _idn_hostname,
    "ipv4": lambda: parse_regex(_IPV4),
    "ipv6": lambda: parse_regex(_ipv6()),
    "uri": _uri,
    "uri-reference": lambda: _uri(relative=True),
    "iri": lambda: _uri(_UCSCHAR, _IPRIVATE),
    "iri-reference": lambda: _uri(_UCSCHAR, _IPRIVATE, relative=True),
    "uri-template": _uri_template,
    "uuid": lambda: parse_regex(f"{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}"),
    "json-pointer": lambda: parse_regex(_POINTER),
    # subtle: a zero inside the prefix (100) is left out because `jsonschema` takes it for a leading zero.
    "relative-json-pointer": lambda: parse_regex(f"(?:0|[1-9]+0?)(?:#|{_POINTER})"),
    "regex": _regex,
}

FORMATS = tuple(_BUILDERS)
"""The names that `format_node` knows."""

MISSING = {
    "date": "dates of the year 0000",
    "date-time": "leap seconds and the year 0000",
    "time": "leap seconds",
    "email": "general address literals",
    "idn-email": "domains with other letters than those of idn-hostname",
    "hostname": "punycode labels and names of more than six labels or of long ones",
    "idn-hostname": "scripts that need context rules, combining marks, upper case, punycode and long names",
    "iri": "characters above U+FFFF and IPv6 addresses in any form but eight groups",
    "iri-reference": "characters above U+FFFF and IPv6 addresses in any form but eight groups",
    "uri-template": "operators reserved for extensions and names that begin with an escape",
    "relative-json-pointer": "prefixes with a zero inside",
    "regex": "lookaround, backreferences, named groups, property escapes and deep groups",
}
"""What a format allows and `format_node` leaves out."""


@lru_cache
def format_node(name: str) -> Node | None:
    """The texts (decoded, in UTF-8) of a format, compiled once; None for a name that is only an annotation.

    Leap seconds (``23:59:60Z``) are left out: whether one exists is a matter of record, and common parsers reject them.
    """
    build = _BUILDERS.get(name)
    return None if build is None else Embedded(compile_tree(build()))
