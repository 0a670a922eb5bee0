"""Partial values: what an unfinished output has settled, as an object of the class that it will be."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any

from typing_extensions import is_typeddict

from structdiff.core.json_spans import Leaf, pointer_of, scan

_MISSING: Any = object()
_OPEN = {ord("{"): b"}", ord("["): b"]"}


def finished(text: bytes) -> list[Leaf]:
    """The leaves of an unfinished JSON text that are complete.

    >>> [leaf.pointer for leaf in finished(b'{"a": "x", "b": [1, 2')]
    ['/a', '/b/0']
    """
    return [leaf for leaf in scan(text).leaves if leaf.end is not None and _is_json(text[leaf.start : leaf.end])]


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def data_of(text: bytes, pointers: Collection[str]) -> Any:
    """The settled part of an unfinished JSON text: its finished leaves at ``pointers``, in the objects and lists they
    stand in. A list ends before its first item of which nothing is settled; None where nothing is.

    >>> text = b'{"a": "x", "b": {"c": 1, "d": [1, 2, 3'
    >>> data_of(text, {"/a", "/b/c", "/b/d/0"}), data_of(text, {"/b/d/1"})
    ({'a': 'x', 'b': {'c': 1, 'd': [1]}}, None)
    """
    leaves = finished(text)
    if not leaves:
        return None
    end = leaves[-1].end
    whole = json.loads(text[:end] + _closing(text[:end]))
    found = _kept(whole, "", pointers)
    return None if found is _MISSING else found


def _closing(text: bytes) -> bytes:
    """The brackets that close what a text of whole leaves leaves open."""
    stack: list[bytes] = []
    in_string = escaped = False
    for byte in text:
        if in_string:
            in_string = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            in_string = True
        elif byte in _OPEN:
            stack.append(_OPEN[byte])
        elif byte in b"}]":
            stack.pop()
    return b"".join(reversed(stack))


def _kept(value: Any, at: str, pointers: Collection[str]) -> Any:
    if at in pointers:
        return value
    if isinstance(value, Mapping):
        members = {key: _kept(member, pointer_of(at, key), pointers) for key, member in value.items()}
        return {key: member for key, member in members.items() if member is not _MISSING} or _MISSING
    if isinstance(value, list):
        items: list[Any] = []
        for number, item in enumerate(value):
            kept = _kept(item, pointer_of(at, number), pointers)
            if kept is _MISSING:
                break
            items.append(kept)
        return items or _MISSING
    return _MISSING


def partial_of(kind: Any, data: Any) -> Any:
    """Settled data as an object of the type ``kind``: what is not settled is None, and nothing is validated as a whole.

    Pydantic classes and dataclasses get instances, a `TypedDict` a dict without the keys that are missing. Single
    values become what their type says; one that its type rejects counts as not settled. ``kind`` None leaves the data.

    >>> import dataclasses
    >>> @dataclasses.dataclass
    ... class Stay:
    ...     guest: str
    ...     nights: tuple[int, ...]
    >>> partial_of(Stay, {"nights": [4, 5]})
    Stay(guest=None, nights=(4, 5))
    """
    if kind is None:
        return data
    found = _built(kind, data)
    return None if found is _MISSING else found


def _built(kind: Any, data: Any) -> Any:
    from pydantic import RootModel

    if kind is None:
        return data
    if not isinstance(data, dict | list):
        return _leaf(kind, data)
    kind = _plain(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        arms = [arm for arm in typing.get_args(kind) if arm is not type(None)]
        return _built(max(arms, key=lambda arm: _likeness(arm, data)), data)
    if isinstance(kind, type) and issubclass(kind, RootModel):
        return kind.model_construct(_built(kind.model_fields["root"].annotation, data))
    return _object(kind, data) if isinstance(data, dict) else _list(kind, data)


def _plain(kind: Any) -> Any:
    """A type without annotations and aliases around it."""
    while True:
        if typing.get_origin(kind) is typing.Annotated:
            kind = typing.get_args(kind)[0]
        elif hasattr(kind, "__value__"):
            kind = kind.__value__
        elif isinstance(kind, typing.NewType):
            kind = kind.__supertype__
        else:
            return kind


def _object(kind: Any, data: dict[str, Any]) -> Any:
    from pydantic import BaseModel

    members = _members(kind)
    if members is None:
        values = typing.get_args(kind)[1:] or (None,)
        built = {key: member if values[0] is None else _built(values[0], member) for key, member in data.items()}
        return {key: member for key, member in built.items() if member is not _MISSING}
    made = {members[key][0]: _built(members[key][1], member) for key, member in data.items() if key in members}
    made = {name: member for name, member in made.items() if member is not _MISSING}
    if is_typeddict(kind):
        return made
    every = dict.fromkeys((name for name, _ in members.values()), None) | made
    if issubclass(kind, BaseModel):
        return kind.model_construct(_fields_set=set(made), **every)
    instance = object.__new__(kind)
    for name, member in every.items():
        object.__setattr__(instance, name, member)  # also where it is frozen
    return instance


def _list(kind: Any, data: list[Any]) -> Any:
    origin, inner = typing.get_origin(kind) or kind, typing.get_args(kind)
    if isinstance(origin, type) and issubclass(origin, tuple) and hasattr(origin, "_fields"):
        hints = _hints(origin)
        items = [_built(hints.get(name), item) for name, item in zip(origin._fields, data, strict=False)]
        items = [None if item is _MISSING else item for item in items]
        return origin(*items, *[None] * (len(origin._fields) - len(items)))
    each = inner if origin is tuple and Ellipsis not in inner else None
    kinds = each or [inner[0] if inner else None] * len(data)
    items = [item if one is None else _built(one, item) for one, item in zip(kinds, data, strict=False)]
    items = [item for item in items if item is not _MISSING]
    return origin(items) if origin in (tuple, set, frozenset) else items


def _leaf(kind: Any, value: Any) -> Any:
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_json(json.dumps(value))
    except ValidationError:
        return _MISSING


@functools.lru_cache(maxsize=1024)
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


@functools.lru_cache(maxsize=1024)
def _members(kind: Any) -> dict[str, tuple[str, Any]] | None:
    """The name and type of each member of a class by its key in JSON; None for what is no class of members."""
    from pydantic import BaseModel

    if isinstance(kind, type) and issubclass(kind, BaseModel):
        found = {}
        for name, one in kind.model_fields.items():
            key = one.validation_alias if isinstance(one.validation_alias, str) else one.alias or name
            annotated = typing.Annotated[(one.annotation, *one.metadata)] if one.metadata else one.annotation
            found[key] = (name, annotated)
        return found
    if is_typeddict(kind):
        hints = _hints(kind)
        return {name: (name, _required(hints.get(name))) for name in kind.__annotations__}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return {one.name: (one.name, hints.get(one.name)) for one in dataclasses.fields(kind)}
    return None


def _hints(kind: Any) -> dict[str, Any]:
    """The types of the members of a class; none where one is written as a name that only its own place knows."""
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except NameError:
        return {}


def _required(hint: Any) -> Any:
    """The type inside ``Required[...]`` and ``NotRequired[...]``."""
    origin = typing.get_origin(hint)
    return typing.get_args(hint)[0] if origin in (typing.Required, typing.NotRequired) else hint


def _likeness(kind: Any, data: Any) -> int:
    """How well data goes with one type of a union: a fitting tag counts most, then the keys it has."""
    kind = _plain(kind)
    if isinstance(data, list):
        return int(_members(kind) is None and kind is not dict)
    members = _members(kind)
    if members is None:
        return int((typing.get_origin(kind) or kind) is dict)
    known = [key for key in data if key in members]
    tags = [key for key in known if typing.get_origin(_plain(members[key][1])) is typing.Literal]
    right = [data[key] in typing.get_args(_plain(members[key][1])) for key in tags]
    return len(known) - 2 * (len(data) - len(known)) + 1000 * (sum(right) - 2 * (len(right) - sum(right)))
