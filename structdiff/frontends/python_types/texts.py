"""The named languages of text that the JSON Schema of a class may ask for, beside those that JSON Schema has.

A schema asks for one under `KEYWORD`: ``{"type": "string", "x-structdiff": {"text": [["uuid", {"version": 4}]]}}``.
The texts of several names are those that all of them have.

>>> of_type("uuid", version=4)["x-structdiff"]
{'text': [['uuid', '{"version": 4}']], 'shown': 'uuid4'}
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from structdiff.automata.byte_automaton import ByteAutomaton, of_words
from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import ByteSet, Repeat
from structdiff.automata.unicode import ANY_CHAR
from structdiff.frontends.json_schema.leaves import KEYWORD, register_texts
from structdiff.frontends.python_types import decimals, encodings, networks, temporal
from structdiff.frontends.regex.parser import parse_regex
from structdiff.frontends.values.formats import format_node

_ASCII = compile_tree(Repeat(ByteSet.of(range(0x80))))
_HEX = "[0-9A-Fa-f]"


def asked(name: str, shown: str, **arguments: Any) -> dict[str, Any]:
    """What a schema says under `KEYWORD` to ask for the texts ``name``; ``shown`` is what the model is told."""
    return {"text": [[name, json.dumps(arguments, default=str) if arguments else ""]], "shown": shown}


def of_type(name: str, shown: str = "", **arguments: Any) -> dict[str, Any]:
    """The schema of the strings with the texts ``name``."""
    shown = shown or f"{name}{arguments.get('version') or ''}"
    given = {key: value for key, value in arguments.items() if value is not None}
    return {"type": "string", KEYWORD: asked(name, shown, **given)}


def also(schema: dict[str, Any], more: dict[str, Any]) -> None:
    """Let a schema ask for further texts, in place."""
    known = schema.setdefault(KEYWORD, {"text": [], "shown": ""})
    schema[KEYWORD] = {
        "text": [*known["text"], *more["text"]],
        "shown": ", ".join(filter(None, (known["shown"], more["shown"]))),
    }


def rust_pattern(pattern: str) -> dict[str, Any]:
    """Texts in which Rust finds a pattern."""
    return {"text": [["rust", pattern]], "shown": f"/{pattern}/"}


def python_pattern(pattern: str, flags: int) -> dict[str, Any]:
    """Texts in which `re.search` finds a pattern."""
    return {"text": [["python", json.dumps([pattern, flags])]], "shown": f"/{pattern}/"}


STRIPPED = {"text": [["rust", r"\A(?s:\S(?:.*\S)?)?\z"]], "shown": ""}
"""Texts without white space at either end."""
ASCII_ONLY = {"text": [["ascii", ""]], "shown": "ASCII"}


def _uuid(version: int) -> ByteAutomaton:
    return compile_tree(parse_regex(f"{_HEX}{{8}}-{_HEX}{{4}}-{version}{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}"))


def _datetime(zone: temporal.Zone = None, low: Sequence[str] = (), high: Sequence[str] = ()) -> ByteAutomaton:
    low_ends, high_ends = (tuple(map(dt.datetime.fromisoformat, ends)) for ends in (low, high))
    return compile_tree(temporal.datetimes(zone, (low_ends, high_ends)))


def _time(zone: temporal.Zone = None, low: Sequence[str] = (), high: Sequence[str] = ()) -> ByteAutomaton:
    low_ends, high_ends = (tuple(map(dt.time.fromisoformat, ends)) for ends in (low, high))
    return compile_tree(temporal.times(zone, (low_ends, high_ends)))


def _date(low: str = "0001-01-01", high: str = "9999-12-31") -> ByteAutomaton:
    return compile_tree(temporal.dates(dt.date.fromisoformat(low), dt.date.fromisoformat(high)))


def _duration(low: int | None = None, high: int | None = None) -> ByteAutomaton:
    """Bounds in microseconds."""
    ends = (None if end is None else dt.timedelta(microseconds=end) for end in (low, high))
    return compile_tree(temporal.durations(*ends))


def _decimal(
    max_digits: int | None = None,
    decimal_places: int | None = None,
    quotient_digits: int | None = None,
    **limits: str,
) -> ByteAutomaton:
    exact: dict[str, Any] = {name: Decimal(limit) for name, limit in limits.items()}
    return decimals.decimals(
        max_digits=max_digits, decimal_places=decimal_places, quotient_digits=quotient_digits, **exact
    )


def _bytes(encoding: str = "utf8", low: int = 0, high: int | None = None, text: bool = False) -> ByteAutomaton:
    if text:
        content = compile_tree(Repeat(ANY_CHAR, low, high))
    else:
        content = encodings.utf8(low, high) if encoding == "utf8" else encodings.any_bytes(low, high)
    if encoding == "utf8":
        return content
    if encoding == "hex":
        return encodings.hexadecimal_of(content)
    return encodings.base64_of(content, encodings.STANDARD if encoding == "base64" else encodings.URL_SAFE)


def _regex() -> ByteAutomaton:
    node = format_node("regex")
    assert node is not None
    return compile_tree(node)


def _zone_name() -> ByteAutomaton:
    import zoneinfo

    return of_words(name.encode() for name in sorted(zoneinfo.available_timezones()))


_LANGUAGES: dict[str, Callable[..., ByteAutomaton]] = {
    "uuid": _uuid, "datetime": _datetime, "time": _time, "date": _date, "duration": _duration, "decimal": _decimal,
    "bytes": _bytes, "regex": _regex, "zone": _zone_name, "integer": decimals.integers,
    "fraction": decimals.fractions, "complex": decimals.complexes, "byte-size": decimals.byte_sizes,
    "ascii": lambda: _ASCII,
    "ip-address": lambda versions: compile_tree(networks.ip_addresses(*versions)),
    "ip-interface": lambda versions: compile_tree(networks.ip_interfaces(*versions)),
    "ip-network": lambda versions: compile_tree(networks.ip_networks(*versions)),
    "email": lambda: compile_tree(networks.emails()),
    "name-email": lambda: compile_tree(networks.named_emails()),
    "url": lambda **arguments: compile_tree(networks.urls(**arguments)),
}  # fmt: skip


def _language(name: str) -> Callable[[str], ByteAutomaton]:
    build = _LANGUAGES[name]
    return lambda arguments: build(**(json.loads(arguments) if arguments else {}))


def _python(arguments: str) -> ByteAutomaton:
    pattern, flags = json.loads(arguments)
    return compile_tree(parse_regex(pattern, "python", anchored=False, flags=flags))


for _name in _LANGUAGES:
    register_texts(_name, _language(_name))
register_texts("rust", lambda pattern: compile_tree(parse_regex(pattern, "rust")))
register_texts("json", encodings.json_texts)
register_texts("python", _python)
