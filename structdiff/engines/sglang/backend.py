"""SGLang's grammar backend "structdiff": compiles what requests ask for, and holds the row of each of them.

SGLang keeps a compiled grammar and gives each request a copy, which is handed to the algorithm with every step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sglang.srt.constrained.base_grammar_backend import BaseGrammarBackend, BaseGrammarObject, InvalidGrammarObject

from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import GenerationError, InvalidSchema, StructdiffError, UnsupportedTokenizer
from structdiff.engines.asked import KEY, Asked, extension
from structdiff.engines.compiling import ForThreads, Tools
from structdiff.engines.row import EngineRow
from structdiff.engines.sglang.facts import noise_of, policy_of
from structdiff.engines.walk import Walk
from structdiff.engines.worker import Worker, vocabulary_of
from structdiff.models.mask_token import hide_mask
from structdiff.server.wanted import ANY_OBJECT
from structdiff.server.worker import QueueFull

NAME = "structdiff"
KEPT = 256
"""Grammars that are kept for requests to come, the newest ones; SGLang itself would keep all."""


class Grammar(BaseGrammarObject):  # type: ignore[misc]
    """A compiled constraint; a copy of it belongs to one request, whose row it holds."""

    def __init__(self, constraint: Constraint, asked: Asked, worker: Worker) -> None:
        super().__init__()
        self.constraint, self.asked, self.worker = constraint, asked, worker
        self.request: Any = None
        self.row: EngineRow | None = None
        self.walk: Walk | None = None
        self.max_tokens = 0

    def copy(self) -> Grammar:
        return Grammar(self.constraint, self.asked, self.worker)

    def admit(self, request: Any, max_tokens: int, seed: int | None, temperature: float) -> None:
        """A request has been taken, which ends behind ``max_tokens`` tokens, the end token among them."""
        self.request, self.max_tokens = request, max_tokens
        self.asked = Asked(
            self.asked.kind, self.asked.source, self.asked.options, self.asked.pinned, seed, temperature
        )  # fmt: skip
        self.walk = Walk(self.constraint.automaton, self.worker.vocabulary.end_ids, max_tokens)

    def begin(self, length: int) -> EngineRow:
        """The row at the start of a block with ``length`` positions for it, behind what the request has written."""
        if self.request is None:
            raise GenerationError("a request reached the model without having been admitted")
        written, row = list(self.request.output_ids), self.row
        if row is not None and row.done and row.session is not None and row.session.written == written:
            row.committed(row.length, length)
            return row
        self.row = self.worker.row(
            self.request.rid, self.asked.to_dict(), self.max_tokens, written, length, self.constraint
        )
        return self.row

    def look(self, tokens: Sequence[int]) -> None:
        """Walk what the request has written anew, up to an end token. Raises `GenerationError` where it is wrong."""
        assert self.walk is not None
        ends = [at for at, token in enumerate(tokens) if token in self.worker.vocabulary.end_ids]
        self.walk.add(tokens[: ends[0] + 1] if ends else tokens)
        if ends or self.walk.left <= 0:
            self.walk.close()


class Refused(InvalidGrammarObject):  # type: ignore[misc]
    """A constraint that can never be honoured."""


class Backend(BaseGrammarBackend):  # type: ignore[misc]
    """Compiles constraints in a process that can be killed.

    ``compact``: JSON is written without white space where a request does not say otherwise.
    """

    def __init__(self, worker: Worker, tokenizer: Any, compact: bool = False) -> None:
        super().__init__()
        self.worker, self.compact = worker, compact
        self.compilers = ForThreads(Tools(tokenizer, worker.vocabulary, worker.compiler))
        self.extra: str | None = None

    def get_request_grammar_key(self, key: tuple[str, str], **_: Any) -> tuple[str, str]:
        """The key of a request's grammar, with what the request says beside it (`extra`)."""
        return key if self.extra is None else (key[0], json.dumps({"source": key[1], KEY: self.extra}))

    def set_cache(self, key: tuple[str, str], value: BaseGrammarObject) -> None:
        """Keep a grammar, or what can never be one; not that there was no time for it."""
        if isinstance(value, Grammar | Refused):
            self.cache.pop(key, None)
            super().set_cache(key, value)
            while len(self.cache) > KEPT:
                self.cache.pop(next(iter(self.cache)))

    def dispatch_json(self, key_string: str) -> BaseGrammarObject:
        return self._compiled("json", key_string)

    def dispatch_regex(self, key_string: str) -> BaseGrammarObject:
        return self._compiled("regex", key_string)

    def dispatch_ebnf(self, key_string: str) -> BaseGrammarObject:
        return self._compiled("grammar", key_string)

    def dispatch_structural_tag(self, key_string: str) -> BaseGrammarObject:
        return self._compiled("structural_tag", key_string)

    def _compiled(self, kind: str, text: str) -> BaseGrammarObject:
        try:
            asked = self._asked(kind, text)
            source, options = asked.compilable()
            return Grammar(self.compilers.compile(source, **options), asked, self.worker)
        except StructdiffError as error:
            return Refused(str(error))
        except TypeError as error:  # an option that this kind of source does not take
            return Refused(f"custom_params.{KEY}: {error}")
        except QueueFull as error:
            return InvalidGrammarObject(f"too many schemas wait to be compiled: {error}; ask again")

    def _asked(self, kind: str, text: str) -> Asked:
        pinned: Mapping[str, Any] | None = None
        own: dict[str, Any] = {}
        if (parts := _parts(text)) is not None:
            text, extra = parts
            source, pinned, own = extension(extra)
            if source is not None:
                raise InvalidSchema(f"custom_params.{KEY} names a source, and {kind} is one already; give one")
        options: dict[str, Any] = {}
        if kind == "json":
            if _value(text) == ANY_OBJECT:  # what SGLang makes of json_object
                options["extra_properties"] = "schema"
            if self.compact:
                options["whitespace"] = "compact"
        if kind == "structural_tag":
            text = _plain(text)
        return Asked(kind, text, options | own, pinned)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None


def _plain(tag: str) -> str:
    """A structural tag without the field that SGLang adds, where it says nothing."""
    value = _value(tag)
    if not isinstance(value, dict) or value.get("at_least_one") is not False:
        return tag
    return json.dumps({name: part for name, part in value.items() if name != "at_least_one"})


def _parts(key_string: str) -> tuple[str, str] | None:
    """(source, the request's own field) of a key that `Backend.get_request_grammar_key` made."""
    value = _value(key_string) if KEY in key_string else None
    if isinstance(value, dict) and set(value) == {"source", KEY}:
        return value["source"], value[KEY]
    return None


def worker_of(algorithm: Any, tokenizer: Any, vocab_size: int, end_ids: Sequence[int | None], context: int) -> Worker:
    """What makes the rows for one of SGLang's algorithms. Raises `StructdiffError` for a tokenizer it cannot use."""
    noise = noise_of(algorithm)
    if noise.mask is not None and tokenizer is not None:
        hide_mask(tokenizer, noise.mask)
    vocabulary = vocabulary_of(tokenizer, end_ids, vocab_size)
    for name in ("mask_id", "delete_token_id", "split_token_id"):
        token = getattr(algorithm, name, None)
        if token is not None and token >= 0 and vocabulary.table.token_bytes[token] is not None:
            raise UnsupportedTokenizer(f"token {token}, the model's {name}, is text in this tokenizer")
    return Worker(vocabulary, algorithm.block_size, context, policy_of(algorithm), noise)
