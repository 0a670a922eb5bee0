"""Texts as plain characters: whatever a person writes, none of it becomes a control token.

A tokenizer reads ``<|turn>`` or ``<bos>`` in a text as the control token of that name, so that a text could close its
turn and open another. Here such characters are spelled like all others; only a chat template's own control tokens are.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from tokenizers import AddedToken, Tokenizer

from structdiff.core.errors import GenerationError
from structdiff.tokens.vocabulary import Vocabulary

Render = Callable[[Any], str]
"""Turns messages into the text of a conversation, control tokens written out."""


class PlainText:
    """Encodes texts with a fast tokenizer of which ``vocabulary`` says what is never text.

    >>> from tokenizers import Tokenizer, decoders, models
    >>> tiny = Tokenizer(models.BPE({"<": 0, "s": 1, ">": 2}, []))
    >>> _ = tiny.add_special_tokens(["<s>"])
    >>> tiny.decoder = decoders.ByteLevel()
    >>> tiny.encode("<s>s").ids, PlainText(tiny, Vocabulary.of(tiny, end_ids=(3,))).encode("<s>s")
    ([3, 1], [0, 1, 2, 1])
    """

    def __init__(self, tokenizer: Any, vocabulary: Vocabulary) -> None:
        self._tokenizer = tokenizer
        self._raw: Tokenizer = getattr(tokenizer, "backend_tokenizer", tokenizer)
        added = self._raw.get_added_tokens_decoder()
        text = self._bytes = vocabulary.table.token_bytes
        self.control = frozenset(i for i in added if i >= len(text) or text[i] is None) | frozenset(vocabulary.end_ids)
        self._plain = _without_control(self._raw, added, self.control)
        exact = self._raw.normalizer is None or not any(added[i].normalized for i in self.control if i in added)
        self._openings = frozenset(added[i].content[:2] for i in self.control if i in added) if exact else None

    @cached_property
    def _longest(self) -> int:
        """The most bytes of a text that one id can stand for; 0 where the normalizer may leave some out."""
        normal = self._raw.normalizer
        if normal is not None and type(normal).__name__ not in ("Replace", "Prepend"):
            return 0
        return max((len(data) for data in self._bytes if data), default=0)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, none of them a control token's."""
        return self._ids(text)

    def framed(self, text: str) -> list[int]:
        """The ids of a text between those that the tokenizer puts around every text by itself (``<bos>``)."""
        both = self._raw.encode("").ids
        inner = self._ids(text)
        if not both:
            return inner
        whole: list[int] = self._plain.encode(text).ids
        around = [i for i in whole if i in self.control]
        if around == both:
            return whole
        marks = self._raw.encode("").special_tokens_mask
        first = next((n for n, special in enumerate(marks) if not special), 1)
        return [*both[:first], *inner, *both[first:]]

    def chat(self, messages: list[dict[str, Any]], **options: Any) -> list[int]:
        """The ids of a conversation by the tokenizer's chat template; without one it must be one message."""
        if getattr(self._tokenizer, "chat_template", None):
            return self.conversation(
                {"messages": messages, **options},
                lambda said: self._tokenizer.apply_chat_template(
                    said.pop("messages"), tokenize=False, add_generation_prompt=True, **said
                ),
            )
        if len(messages) > 1:
            raise GenerationError(
                f"the model's tokenizer has no chat template, so that it takes one message and not {len(messages)}"
            )
        return self.framed(messages[0]["content"])

    def conversation(self, messages: Any, render: Render) -> list[int]:
        """The ids of a conversation: the control tokens that ``render`` writes are control tokens, those that the
        strings in ``messages`` hold are plain characters."""
        if not any(self._suspect(text) for text in _strings(messages)):
            return list(self._raw.encode(render(_mapped(messages, str)), add_special_tokens=False).ids)
        mark = f"plain{secrets.token_hex(12)}"
        rendered = render(_mapped(messages, lambda text: self._marked(text, mark)))
        found = self._raw.encode(rendered, add_special_tokens=False)
        ids: list[int] = []
        at = 0
        for token, (start, end) in zip(found.ids, found.offsets, strict=True):
            if token in self.control:
                ids += self._ids(rendered[at:start].replace(mark, ""))
                ids.append(token)
                at = end
        return ids + self._ids(rendered[at:].replace(mark, ""))

    def fewest(self, text: str) -> int:
        """No fewer ids than this encode a text; quickly found, and 0 where that cannot be told."""
        return -(-len(text.encode("utf-8", "replace")) // self._longest) if self._longest else 0

    def _ids(self, text: str) -> list[int]:
        if not text:
            return []
        found = self._plain.encode(text, add_special_tokens=False)
        if self.control.isdisjoint(found.ids):
            return list(found.ids)
        cuts = [0]  # the model's own pieces spell a control token: cut it behind its first character
        for token, (start, end) in zip(found.ids, found.offsets, strict=True):
            if token in self.control:
                if end - start < 2:
                    raise GenerationError(f"the tokenizer has only a control token for {text[start:end]!r}")
                cuts.append(start + 1)
        parts = [text[a:b] for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]
        return [token for part in parts for token in self._ids(part)]

    def _suspect(self, text: str) -> bool:
        """Would the tokenizer find a control token in a text?"""
        if self._openings is not None and not any(opening in text for opening in self._openings):
            return False
        return not self.control.isdisjoint(self._raw.encode(text, add_special_tokens=False).ids)

    def _marked(self, text: str, mark: str) -> str:
        """``text`` with ``mark`` between all characters that would become a control token."""
        if not self._suspect(text):
            return text
        found = self._raw.encode(text, add_special_tokens=False)
        parts, at = [], 0
        for token, (start, end) in zip(found.ids, found.offsets, strict=True):
            if token in self.control:
                parts += [text[at:start], mark.join(text[start:end])]
                at = end
        return "".join([*parts, text[at:]])


def _without_control(raw: Tokenizer, added: Mapping[int, AddedToken], control: frozenset[int]) -> Tokenizer:
    """The same tokenizer, which reads control tokens in a text as characters; it shares the model with ``raw``."""
    plain = Tokenizer(raw.model)
    for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        part = getattr(raw, name)
        if part is not None:
            setattr(plain, name, part)
    plain.add_tokens([
        AddedToken(one.content, single_word=one.single_word, lstrip=one.lstrip, rstrip=one.rstrip,
                   normalized=one.normalized, special=one.special or i in control)
        for i, one in sorted(added.items())
    ])  # fmt: skip
    if {i: one.content for i, one in plain.get_added_tokens_decoder().items()} != {
        i: one.content for i, one in added.items()
    }:
        plain = Tokenizer.from_str(raw.to_str())  # ids with holes: slower, and what is not special is cut afterwards
    plain.encode_special_tokens = True
    return plain


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for one in (*value, *value.values()) for text in _strings(one)]
    return [text for one in value for text in _strings(one)] if isinstance(value, list | tuple) else []


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """``value`` with every string inside changed, keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_mapped(key, change): _mapped(one, change) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(one, change) for one in value]
    return value
