"""Prompts: from a text or an image, and a constraint, to token ids."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from structdiff.constraint.constraint import Constraint
from structdiff.core.errors import GenerationError
from structdiff.tokens.plain import PlainText
from structdiff.tokens.vocabulary import Vocabulary

if TYPE_CHECKING:
    from structdiff.models.pictures import Pictures


class Prompts:
    """Writes the prompts of a model: ``pictures`` reads images for it, where it reads any."""

    name: str
    tokenizer: Any
    vocabulary: Vocabulary
    pictures: Pictures | None = None

    def prompt(self, text: str, constraint: Constraint | None, instructions: str = "") -> str:
        """The user message for a text. Raises `GenerationError` where the text is empty and must not be."""
        if not text.strip() and (constraint is None or constraint.source.traits.needs_text):
            raise GenerationError("the text is empty; there is nothing to extract from")
        if constraint is None:
            return f"{instructions}\n\n{text}".strip()
        return constraint.source.prompt(text, instructions)

    def encode_prompt(self, message: str, images: Sequence[Any] = ()) -> list[int]:
        """The prompt's token ids: the chat template where the tokenizer has one, else the message alone."""
        return self.encode_chat([{"role": "user", "content": message, "images": images}])

    def encode_chat(self, messages: list[dict[str, Any]], **options: Any) -> list[int]:
        """The token ids of a conversation, in which only the template writes control tokens (`PlainText`); a message
        may have ``images`` of Pillow. Raises `GenerationError` where the model reads none. ``options`` go to the
        template."""
        if not any(message.get("images") for message in messages):
            return self.plain.chat([{k: v for k, v in m.items() if k != "images"} for m in messages], **options)
        return self.require_pictures().chat(self.plain, messages, options)

    def require_pictures(self) -> Pictures:
        """What reads images for the model. Raises `GenerationError` where it reads none."""
        if self.pictures is None:
            raise GenerationError(f"the model {self.name!r} reads no images; send text")
        return self.pictures

    @cached_property
    def plain(self) -> PlainText:
        """Encodes texts as plain characters, whatever control tokens they spell."""
        return PlainText(self.tokenizer, self.vocabulary)
