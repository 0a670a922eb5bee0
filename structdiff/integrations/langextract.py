"""A provider for LangExtract: extractions in exactly the schema's form, and verbatim from their text."""

from __future__ import annotations

import copy
import functools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from langextract.core.base_model import BaseLanguageModel
from langextract.core.data import ATTRIBUTE_SUFFIX, EXTRACTIONS_KEY
from langextract.core.exceptions import InferenceConfigError, InferenceRuntimeError
from langextract.core.output_schema import validate_output_schema
from langextract.core.schema import BaseSchema
from langextract.core.types import FormatType, ScoredOutput
from langextract.providers import router
from langextract.providers.schemas import OpenAISchema

import structdiff
from structdiff.core.errors import StructdiffError
from structdiff.decode.choose import decoder_of

DEFAULT = "tiny"
WORDS = 12
"""The longest extractions, in words and punctuation marks."""
PIECE = re.compile(r"\w+|[^\w\s]")
load = functools.cache(structdiff.load)


class StructdiffSchema(BaseSchema):  # type: ignore[misc]
    """The form of LangExtract's output as a JSON Schema."""

    def __init__(self, schema_dict: dict[str, Any]) -> None:
        self.schema_dict = copy.deepcopy(schema_dict)

    @classmethod
    def from_examples(cls, examples_data: Any, attribute_suffix: str = ATTRIBUTE_SUFFIX) -> StructdiffSchema:
        """The classes and attributes of the examples."""
        return cls(OpenAISchema.from_examples(examples_data, attribute_suffix).schema_dict)

    @classmethod
    def from_schema_dict(cls, output_schema: Any) -> StructdiffSchema:
        """The caller's own."""
        return cls(validate_output_schema(output_schema))

    def to_provider_config(self) -> dict[str, Any]:
        return {}

    @property
    def requires_raw_output(self) -> bool:
        return True

    def of(self, text: str) -> dict[str, Any]:
        """The schema in which every extraction stands in ``text`` as it is written there."""
        schema, found = copy.deepcopy(self.schema_dict), phrases(text)
        listed = schema.get("properties", {}).get(EXTRACTIONS_KEY, {})
        if not found:
            listed["maxItems"] = 0
        items = listed.get("items", {})
        for variant in items.get("anyOf", [items]):
            for name, value in variant.get("properties", {}).items():
                if not name.endswith(ATTRIBUTE_SUFFIX) and value == {"type": "string"} and found:
                    variant["properties"][name] = {"enum": found}
        return schema


def phrases(text: str) -> list[str]:
    """The runs of up to `WORDS` words of a text, each once.

    >>> phrases("Ann, 31.")
    ['Ann', 'Ann, 31', '31']
    """
    spans = [(match.start(), match.end()) for match in PIECE.finditer(text)]
    found: dict[str, None] = {}
    for number, (start, _) in enumerate(spans):
        if text[start].isalnum() or text[start] in "$€£#@+-":
            for _, end in spans[number : number + WORDS]:
                if text[end - 1].isalnum() or text[end - 1] in "%°":
                    found[text[start:end]] = None
    return list(found)


@router.register(r"^structdiff(?:/|$)", priority=20)
class StructdiffLanguageModel(BaseLanguageModel):  # type: ignore[misc]
    """``lx.extract(..., model_id="structdiff")``; ``"structdiff/NAME"`` names what `structdiff.load` takes.

    ``language_model_params`` may hold ``max_tokens``, the budget of a chunk's answer, and ``seed``. Raises
    `InferenceConfigError` for a schema or an option that cannot be honoured, `InferenceRuntimeError` for a text that
    cannot be read.
    """

    def __init__(
        self,
        model_id: str = "structdiff",
        max_tokens: int | None = None,
        seed: int = 0,
        format_type: FormatType | None = None,
        api_key: str | None = None,
        max_workers: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        given = sorted(name for name, value in options.items() if value is not None)
        if given:
            raise InferenceConfigError(f"structdiff has no option {given[0]!r}; it has max_tokens and seed")
        if format_type not in (None, FormatType.JSON):
            raise InferenceConfigError("structdiff writes JSON; leave format_type at its default")
        self.max_tokens, self.seed = max_tokens, seed
        try:
            self.model = load(model_id.partition("/")[2] or DEFAULT)
        except StructdiffError as error:
            raise InferenceConfigError(str(error)) from error

    @classmethod
    def get_schema_class(cls) -> type[StructdiffSchema]:
        return StructdiffSchema

    def apply_schema(self, schema_instance: BaseSchema | None) -> None:
        """Take a schema. Raises `InferenceConfigError` where structdiff refuses it."""
        if schema_instance is not None:
            try:
                self.model.compile(schema_instance.schema_dict)
            except StructdiffError as error:
                raise InferenceConfigError(f"structdiff refuses the schema: {error}") from error
        super().apply_schema(schema_instance)

    def infer(self, batch_prompts: Sequence[str], **options: Any) -> Iterator[list[ScoredOutput]]:
        """The answers to some prompts, read together."""
        schema = self.schema
        if schema is None:
            raise InferenceConfigError("structdiff needs a schema: leave use_schema_constraints on, or give one")
        model, found = self.model, []
        try:
            engine = decoder_of(model.denoiser, model.policy)
            asked = model.compile(schema.schema_dict)
            for number, prompt in enumerate(batch_prompts):
                told, text = _question(prompt)
                constraint = model.compile(schema.of(text))
                task = model.task(model.prompt(text, asked, told), constraint, self.max_tokens, self.seed)
                task.number = number
                engine.add(task)
            found = sorted(engine.run(), key=lambda outcome: outcome.task.number)
        except StructdiffError as error:
            raise InferenceRuntimeError(str(error), original=error, provider="structdiff") from error
        for outcome in found:
            yield [ScoredOutput(score=math.exp(outcome.log_probability), output=model.spell(outcome.tokens))]


def _question(prompt: str) -> tuple[str, str]:
    """(what stands before the text, the text) of a prompt of LangExtract.

    >>> _question("Find names.\\n\\nQ: Ann, 31.\\nA: ")
    ('Find names.', 'Ann, 31.')
    """
    told, found, text = prompt.rpartition("\nQ: ")
    return (told.strip(), text.removesuffix("\nA: ").strip()) if found else ("", prompt)
