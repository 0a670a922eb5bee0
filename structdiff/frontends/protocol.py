"""The seam between what people write (a schema, a class, a regex, a table) and what the engine compiles.

A *front end* reads one kind of source. What it gives is a `Source`: how to build the grammar, how an output text
becomes a value, and what the model is told. Nothing behind this seam asks which front end it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from structdiff.automata.slots import Slot
from structdiff.automata.tree import Node
from structdiff.core.errors import UnsupportedSchema
from structdiff.core.limits import Limits
from structdiff.core.restrictions import Restriction

if TYPE_CHECKING:
    from structdiff.tokens.vocabulary import Vocabulary

Options = Mapping[str, Any]
"""The options of a constraint that a front end may take, by name."""


@dataclass(frozen=True)
class Traits:
    """What the rest of the system may do with the outputs of a source.

    ``json``: an output is one JSON text, so that it has fields and values can be pinned. ``ordered_keys``: its keys
    come in the order of the schema. ``left_to_right``: what stands left of a place decides it, so that an output may be
    verified. ``needs_text``: an empty input text is a mistake.
    """

    json: bool = False
    ordered_keys: bool = True
    left_to_right: bool = True
    needs_text: bool = True


@dataclass(frozen=True)
class Grammar:
    """A grammar tree, and what the source allows and the tree leaves out; ``slots`` are the kinds of slots in it."""

    tree: Node = field(repr=False)
    restrictions: tuple[Restriction, ...] = ()
    slots: tuple[Slot, ...] = ()

    def whole(self) -> Node:
        """The tree. Raises `UnsupportedSchema` where it has slots, which a larger tree would lose."""
        for slot in self.slots:
            raise UnsupportedSchema(slot.pointer, "x-verbatim", "only a whole answer can hold what the text says")
        return self.tree


@dataclass(frozen=True, eq=False)
class Source:
    """A source that a front end has read.

    ``build`` makes the grammar within limits. ``parse`` turns an output text into its value and raises
    `ValidationFailed` where a validator rejects it. ``prompt(text, instructions)`` is the user message. ``key`` is the
    same for sources of the same language and only for these (`content_key`); None means that it cannot be told.
    ``schema`` is the JSON Schema of a source with ``traits.json``, ``kind`` the Python type of its values. ``restrict``
    narrows the vocabulary to the tokens that may be used; ``rules`` binds what the decoder has to obey beyond the
    grammar. ``within(horizon)`` is the same source for outputs of at most so many bytes, where knowing that changes
    the grammar.
    """

    name: str
    key: str | None
    build: Callable[[Limits], Grammar] = field(repr=False)
    parse: Callable[[str], Any] = field(repr=False)
    prompt: Callable[[str, str], str] = field(repr=False)
    traits: Traits = Traits()
    schema: Any = field(default=None, repr=False)
    restrict: Callable[[Vocabulary], Vocabulary] | None = field(default=None, repr=False)
    rules: Callable[[Vocabulary], Any] | None = field(default=None, repr=False)
    kind: Any = field(default=None, repr=False)
    within: Callable[[int], Source] | None = field(default=None, repr=False)


@runtime_checkable
class FrontEnd(Protocol):
    """Reads one kind of source; `structdiff.frontends.register` makes it known everywhere.

    ``name`` is what the command line (``--source NAME TEXT``) and the service (``structured_outputs: {NAME: TEXT}``)
    call it.
    """

    @property
    def name(self) -> str:
        """A short name in lower case, such as ``"regex"``."""

    def accepts(self, source: Any) -> bool:
        """Is this Python value a source of this front end?"""

    def read(self, source: Any, options: Options) -> Source:
        """The source, read. Raises `InvalidSchema` for what it cannot read and `TypeError` for unknown options."""

    def from_text(self, text: str) -> Any:
        """The Python value that a text stands for, where a person gives text. Raises `InvalidSchema`."""


def content_key(front_end: str, *parts: str) -> str:
    """A key that is equal for equal contents, in every process.

    >>> content_key("regex", "a|b") == content_key("regex", "a|b"), content_key("x", "ab") == content_key("x", "a", "b")
    (True, False)
    """
    digest = hashlib.sha256()
    for part in (front_end, *parts):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()


def no_options(options: Options, what: str) -> None:
    """Raises `TypeError` where a source that takes no options is given some."""
    if options:
        raise TypeError(f"{what} takes no options, got {', '.join(sorted(options))}")
