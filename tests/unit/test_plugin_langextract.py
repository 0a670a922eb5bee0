"""The provider for LangExtract, from its own interface (`make loops-test` has the package)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

lx: Any = pytest.importorskip("langextract", reason="langextract is not installed; make loops-test has it")

from langextract.core import exceptions  # noqa: E402

EXAMPLES = [
    lx.data.ExampleData(
        text="Bob Stone lives in Rome and is 44.",
        extractions=[
            lx.data.Extraction("person", "Bob Stone", attributes={"mood": "calm"}),
            lx.data.Extraction("city", "Rome"),
        ],
    )
]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TEXT = "Ada Lovelace met Charles Babbage in London on 5 June. Later, Mary Somerville wrote from Bath. "


def extract(text: str = TEXT, **options: Any) -> Any:
    given = {"model_id": "structdiff", "examples": EXAMPLES, "show_progress": False} | options
    return lx.extract(text, "Find people and cities.", **given)


def test_every_extraction_is_found_in_its_text(tmp_path: Path) -> None:
    """A text of several chunks; LangExtract's own aligner places each, word for word."""
    text = TEXT * 3
    found = extract(text, max_char_buffer=120, resolver_params={"suppress_parse_errors": False})
    assert len(found.extractions) >= 3
    for one in found.extractions:
        assert one.extraction_class in ("person", "city")
        assert one.alignment_status == lx.data.AlignmentStatus.MATCH_EXACT
        assert text[one.char_interval.start_pos : one.char_interval.end_pos] == one.extraction_text
    lx.io.save_annotated_documents([found], output_name="found.jsonl", output_dir=tmp_path, show_progress=False)
    page = lx.visualize(str(tmp_path / "found.jsonl"))
    assert found.extractions[0].extraction_text in getattr(page, "data", page)


def test_a_schema_of_the_callers_own_is_kept_to() -> None:
    from structdiff.integrations.langextract import StructdiffLanguageModel, StructdiffSchema

    schema = {
        "type": "object",
        "properties": {"extractions": {"type": "array", "items": CITY, "minItems": 1, "maxItems": 3}},
        "required": ["extractions"], "additionalProperties": False,
    }  # fmt: skip
    model = StructdiffLanguageModel("structdiff/tiny", seed=1)
    model.apply_schema(StructdiffSchema.from_schema_dict(schema))
    prompts = [f"Find cities.\n\nQ: {text}\nA: " for text in ("Off to Bath.", "From Rome to Oslo, then Bonn.")]
    for prompt, (answer,) in zip(prompts, model.infer(prompts), strict=True):
        value = model.parse_output(answer.output)
        jsonschema.validate(value, schema)
        assert all(one["city"] in prompt for one in value["extractions"]) and 0 < answer.score <= 1
    assert extract(output_schema=schema, examples=None).extractions


def test_what_cannot_be_done_is_an_error_of_langextract() -> None:
    refused = {
        "type": "object",
        "properties": {"extractions": {"type": "array", "items": CITY, "contains": {}, "uniqueItems": True}},
        "required": ["extractions"],
        "additionalProperties": False,
    }
    with pytest.raises(exceptions.InferenceConfigError, match="refuses the schema"):
        extract(output_schema=refused)
    with pytest.raises(exceptions.InferenceConfigError, match="no option 'temperature'"):
        extract(temperature=0.5)
    with pytest.raises(exceptions.InferenceConfigError, match="writes JSON"):
        extract(format_type=lx.data.FormatType.YAML)
    with pytest.raises(exceptions.InferenceConfigError, match="no folder no-such-folder"):
        extract(model_id="structdiff/no-such-folder")
    with pytest.raises(exceptions.InferenceConfigError, match="needs a schema"):
        extract(use_schema_constraints=False)
    with pytest.raises(exceptions.InferenceRuntimeError, match="allow at least"):
        extract(language_model_params={"max_tokens": 2})


def test_the_page_of_the_documentation_is_true() -> None:
    page = (Path(__file__).parents[2] / "docs" / "langextract.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```py\n(.*?)^```", page, re.M | re.S)
    exec(compile(block, "docs/langextract.md", "exec"), {})
