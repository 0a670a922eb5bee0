"""Formats against the checkers of `jsonschema`, the standard library and hand-picked examples."""

import datetime
import ipaddress
import json
import random
import re

import idna
import pytest
from jsonschema import Draft202012Validator

from structdiff.automata.byte_automaton import ByteAutomaton
from structdiff.automata.compiling import compile_tree
from structdiff.frontends.json_schema import json_schema_tree
from structdiff.frontends.json_schema.leaves import LOOSEST, Leaf
from structdiff.frontends.values.formats import FORMATS, format_node

CHECKER = Draft202012Validator.FORMAT_CHECKER


def automaton(name: str) -> ByteAutomaton:
    node = format_node(name)
    assert node is not None
    return compile_tree(node)


def draws(a: ByteAutomaton, count: int, seed: int = 0) -> list[str]:
    """Random accepted texts: a walk that favours new states and runs for acceptance after a while."""
    rng = random.Random(seed)
    distance = to_acceptance(a)
    texts = []
    for _ in range(count):
        out, state, budget = bytearray(), 0, rng.choice([3, 8, 20, 60, 150])
        while True:
            row = a.by_byte[state]
            targets = sorted({int(t) for t in row if t >= 0})
            if a.accepting[state] and (not targets or len(out) >= budget or rng.random() < 0.1):
                break
            if len(out) >= budget:
                targets = [t for t in targets if distance[t] == distance[state] - 1]
            target = rng.choice(targets)
            out.append(rng.choice([b for b in range(256) if row[b] == target]))
            state = target
        texts.append(out.decode())
    return texts


def to_acceptance(a: ByteAutomaton) -> list[int]:
    distance = [0 if final else 10**9 for final in a.accepting]
    changed = True
    while changed:
        changed = False
        for state in range(a.states):
            best = min((distance[t] + 1 for t in set(a.by_byte[state].tolist()) if t >= 0), default=10**9)
            if best < distance[state]:
                distance[state], changed = best, True
    return distance


SLOW_JUDGE = {"iri": 25, "iri-reference": 25, "idn-hostname": 150}


@pytest.mark.parametrize("name", FORMATS)
def test_every_draw_satisfies_the_checker(name: str) -> None:
    assert name in CHECKER.checkers
    for text in draws(automaton(name), SLOW_JUDGE.get(name, 250)):
        assert CHECKER.conforms(text, name), text


def test_dates_are_those_of_the_calendar() -> None:
    a = automaton("date")
    for year in (1, 4, 100, 400, 999, 1600, 1900, 1996, 2000, 2023, 2024, 2100, 9996, 9999):
        for month in range(14):
            for day in range(33):
                text = f"{year:04}-{month:02}-{day:02}"
                try:
                    datetime.date(year, month, day)
                    exists = True
                except ValueError:
                    exists = False
                assert a.accepts(text.encode()) == exists, text
    assert not a.accepts(b"0000-01-01")


def test_ipv4_octets() -> None:
    a = automaton("ipv4")
    for text in [f"{n}.0.{n}.255" for n in range(400)] + ["01.2.3.4", "1.2.3", "1.2.3.4.5", "1..2.3"]:
        assert a.accepts(text.encode()) == _is_address(ipaddress.IPv4Address, text), text


def test_ipv6_groups() -> None:
    a = automaton("ipv6")
    rng = random.Random(1)
    for _ in range(4000):
        text = ":".join(rng.choice(["", "", "0", "ab", "FFFF", "12345", "1.2.3.4"]) for _ in range(rng.randint(1, 10)))
        assert a.accepts(text.encode()) == _is_address(ipaddress.IPv6Address, text), text


def _is_address(kind: type, text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def test_patterns_compile_and_names_encode() -> None:
    for text in draws(automaton("regex"), 300, seed=1):
        re.compile(text)
    for text in draws(automaton("idn-hostname"), 100, seed=2):
        idna.encode(text, strict=True)


def test_every_letter_of_an_international_name_is_allowed_in_one() -> None:
    a = automaton("idn-hostname")
    for code in range(0x80, 0x30000):
        if a.accepts(chr(code).encode("utf-8", "surrogatepass")):
            idna.encode(chr(code), strict=True)
    longest = [chr(c) for c in (0xFF, 0x3CE, 0x45F, 0x3041, 0x30FA, 0x9FFC, 0xD7A3)]
    for char in longest:
        for other in longest:
            text = ((char + other) * 5)[:10]
            assert a.accepts(text.encode()) and idna.encode(text)


GOOD = {
    "time": ["08:30:06Z", "23:20:50.52+01:30"],
    "date-time": ["1963-06-19T08:30:06.283185Z", "2024-02-29t00:00:00-08:00"],
    "duration": ["P4DT12H30M5S", "P2W", "PT36H", "P1Y2M"],
    "email": ["joe.bloggs@example.com", '"joe bloggs"@example.com', "a@[127.0.0.1]", "a@[IPv6:::1]", "a+b@localhost"],
    "idn-email": ["실례@실례.테스트", "δοκιμή@example.com"],
    "hostname": ["www.example.com", "a--b.com", "x" * 63 + ".com", "1host"],
    "idn-hostname": ["실례.테스트", "bücher.example", "παράδειγμα"],
    "uri": ["https://example.org/a%20b?q=1#f", "mailto:John.Doe@example.com", "ldap://[2001:db8::7]/c=GB", "urn:a:b"],
    "uri-reference": ["", "/abc", "#frag", "?q", "./this:that"],
    "iri": ["http://ƒøø.ßår/?∂éœ=πîx#πîüx", "http://[2001:db8:0:0:0:0:0:1]/"],
    "iri-reference": ["âππ", "#ƒrägmênt"],
    "uri-template": ["http://example.com/{term:1}/{+x,y*}", "{a.b}", "a'b"],
    "uuid": ["2eb8aa08-AA98-11ea-b4Aa-73B441D16380"],
    "json-pointer": ["", "/foo/bar~0/baz~1/%a", "/"],
    "relative-json-pointer": ["1", "0#", "2/0/baz"],
    "regex": ["^/api/(.*)$", "^[a-z]+$", "([abc])+\\s+$", "(?:a|b){2,3}?\\.", "a{2,}"],
}
BAD = {
    "time": ["24:00:00Z", "12:00:00", "08:30:06+24:00", "8:30:06Z"],
    "date-time": ["1990-02-31T15:59:59Z", "2013-350T01:01:01", "1985-04-12T23:20:50Z\n"],
    "duration": ["P", "PT", "P1Y2D", "PT1H2S", "P1Y2W", "PT0.5S", "-P1D"],
    "email": ["2962", ".a@b", "a.@b", "a..b@c", "a@", "@b", "a@-b", "a b@c", "a@[127.0.0.300]"],
    "idn-email": ["2962", "user＠example.com"],
    "hostname": ["", ".", "a.", "-a", "a-", "a_b", "x" * 64, ".".join(["x" * 63] * 5), "xn--X"],
    "idn-hostname": ["", "〮실례", "a·l", "א", "-hello", "ü" * 11 + "-", "xn--X", "aé--b"],
    "uri": ["//foo.bar/", "abc", "http:// x", "http://a/%6G", "http://a:b/", "http:/[::1]", "1http://a"],
    "uri-reference": ["1:b", "/%zz", '/a"b', "//a@b@c/", "//[::ffff:1.1.1.01]/p"],
    "iri": ["/abc", "http://[::ffff:192.168.0.01]", "âππ"],
    "iri-reference": ["#ƒräg\\mênt"],
    "uri-template": ["{", "{}", "{a,,b}", "{v:0}", "{v:10000}", "a b", "{a..b}", "}"],
    "uuid": ["2eb8aa08-aa98-11ea-b4ga-73b441d16380", "2eb8aa08aa9811eab4aa73b441d16380"],
    "json-pointer": ["a", "/~", "/~2", "#"],
    "relative-json-pointer": ["", "/foo", "-1", "01", "0##"],
    "regex": ["(a", "a)", "[b-a]", "*a", "a**", "a{3,2}", "\\"],
}


@pytest.mark.parametrize("name", GOOD)
def test_examples(name: str) -> None:
    a = automaton(name)
    assert [text for text in GOOD[name] if not a.accepts(text.encode())] == []
    assert [text for text in BAD[name] if a.accepts(text.encode())] == []


def test_unknown_formats_are_annotations() -> None:
    assert format_node("colour") is None


@pytest.mark.parametrize("name", sorted(LOOSEST))
def test_what_lacks_a_format_is_refused_by_the_validator(name):
    """The complement of the loosest reading: none of its texts has the format, by jsonschema."""
    inside, outside = Leaf("format", name).inside(), Leaf("format", name).outside()
    assert (inside & outside).is_empty
    texts = ["no uri", "a b", "/x y", "plain", "http//x", "a@b c", "1:2", " ", "x/y z", "ü b"]
    lacking = [text for text in texts if outside.accepts(text.encode())]
    assert lacking and not any(CHECKER.conforms(text, name) for text in lacking)


def test_one_of_two_formats_is_written():
    schema = {"oneOf": [{"type": "string", "format": "uri"}, {"type": "string", "pattern": "^h"}]}
    automaton = compile_tree(json_schema_tree(schema))
    written = {text: automaton.accepts(json.dumps(text).encode()) for text in ("http://a.b", "hello", "ftp://x", "zzz")}
    assert written == {"http://a.b": False, "hello": True, "ftp://x": True, "zzz": False}
