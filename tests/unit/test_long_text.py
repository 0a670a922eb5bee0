"""Texts beyond the context: pieces that cover them, results merged by the stated rule; and thinking first."""

import json

import jsonschema
import pytest
import torch

import structdiff
from structdiff.confidence.fields import Field
from structdiff.core.errors import GenerationError
from structdiff.decode.policy import Policy
from structdiff.model import Model, Result
from structdiff.results.long_text import merge, split_text
from structdiff.results.result import Usage
from structdiff.testing.scripted import Scripted
from structdiff.testing.tiny import tiny_vocabulary

VOCABULARY = tiny_vocabulary([bytes([byte]) for byte in range(32, 127)])
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "total": {"type": "number"},
        "note": {"type": "string"},
        "items": {"type": "array", "items": {"type": "string"}, "maxItems": 4},
    },
    "required": ["total", "items"],
}


@pytest.mark.parametrize("size", [4, 5, 9, 40])
@pytest.mark.parametrize("overlap", [0, 1, 3])
def test_pieces_cover_the_text_and_share_the_overlap(size, overlap):
    text = "  a bb\nccc d  e f g hh i jjj kk l m n o  "
    pieces = split_text(text, size, overlap, lambda piece: len(piece.split()))
    words = text.split()
    assert all(len(piece.split()) <= size and piece in text for piece in pieces)
    joined = pieces[0].split()
    for piece in pieces[1:]:
        found = piece.split()
        assert found[:overlap] == joined[len(joined) - overlap :]
        joined += found[overlap:]
    assert joined == words and (len(pieces) == 1) == (size >= len(words))


def test_pieces_end_with_sections_and_sentences():
    text = "# One\nDr. Ann is here. She met J. Doe at 3.5 km. All is well.\n\n# Two\nBob left. He is 52 years old!"
    pieces = split_text(text, 16, 5, lambda piece: len(piece.split()))
    assert pieces == [
        "# One\nDr. Ann is here. She met J. Doe at 3.5 km. All is well.\n\n",
        "All is well.\n\n# Two\nBob left. He is 52 years old!",
    ]
    assert split_text("Hier. 今日は晴れ。 明日は雨。 Ende.", 3, 0, lambda piece: len(piece.split())) == [
        "Hier. 今日は晴れ。 明日は雨。 ", "Ende.",
    ]  # fmt: skip


def test_what_cannot_be_split_is_refused():
    with pytest.raises(GenerationError, match="'xxxxxxx' is longer than a piece of 5"):
        split_text("a xxxxxxx b", 5, 0, len)
    with pytest.raises(GenerationError, match="leaves no room"):
        split_text("a b c d e f", 3, 3, lambda piece: len(piece.split()))


def result(value, probabilities):
    fields = {pointer: Field(None, probability) for pointer, probability in probabilities.items()}
    text = json.dumps(value)
    return Result(value, text, "stop", Usage(10, 5, 3, 1), "", (), fields)


def test_members_come_from_the_surest_piece_and_arrays_are_joined():
    constraint = structdiff.compile(SCHEMA, VOCABULARY)
    first = result(
        {"name": "Ann", "total": 1, "items": ["a", "b"]},
        {"/name": 0.9, "/total": 0.2, "/items/0": 0.5, "/items/1": 0.6},
    )
    second = result({"total": 7.5, "items": ["b", "c"]}, {"/total": 0.8, "/items/0": 0.7, "/items/1": 0.4})
    merged = merge([first, second], constraint)
    assert merged.value == {"name": "Ann", "total": 7.5, "items": ["a", "b", "c"]} == json.loads(merged.text)
    assert {p: f.probability for p, f in merged.fields.items()} == {
        "/name": 0.9, "/total": 0.8, "/items/0": 0.5, "/items/1": 0.6, "/items/2": 0.4
    }  # fmt: skip
    assert merged.usage == Usage(20, 10, 6, 2)
    more = result({"total": 1, "items": ["x", "y"]}, {"/total": 0.5, "/items/0": 0.5, "/items/1": 0.5})
    with pytest.raises(GenerationError, match="what they say together is not"):
        merge([first, second, more], constraint)


def test_values_that_are_no_objects_come_from_the_surest_piece():
    constraint = structdiff.compile(structdiff.Choice(["yes", "no"]), VOCABULARY)
    some = [Result(t, t, "stop", Usage(1, 1, 1, 1), "", (), {"": Field(t, p)}) for t, p in (("yes", 0.4), ("no", 0.9))]
    assert merge(some, constraint).value == "no"


class Characters:
    """A token for each character, in the place of a tokenizer."""

    def framed(self, text):
        return [ord(char) - 32 if " " <= char < "\x7f" else 0 for char in text]

    def chat(self, messages):
        return self.framed(messages[0]["content"])


def model(canvas=60, context=600, seed=0):
    denoiser = Scripted.random(canvas, VOCABULARY.size, seed=seed)
    denoiser.context_length = context
    made = Model(denoiser, VOCABULARY, Policy(max_steps=2), VOCABULARY.end_ids, "random")
    made.plain = Characters()
    return made


def test_a_long_text_is_refused_or_split():
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99, "minimum": 0}}}
    text = " ".join(f"word{i}" for i in range(300))
    with pytest.raises(GenerationError, match="context holds 600"):
        model().generate(text, schema, max_tokens=60)
    found = model().generate(text, schema, max_tokens=60, long_text="split", overlap=20)
    jsonschema.validate(found.value, schema)
    assert found.usage.prompt_tokens > len(text) and found.usage.canvases >= 4
    pinned = model().generate(text, schema, max_tokens=60, long_text="split", overlap=20, pinned={"n": 7})
    assert pinned.value == {"n": 7}
    short = model().generate("a short text", schema, max_tokens=60, long_text="split")
    assert short.text == model().generate("a short text", schema, max_tokens=60).text
    with pytest.raises(ValueError, match="'refuse' or 'split'"):
        model().generate("x", schema, long_text="cut")


def test_thinking_comes_first_is_bounded_and_returned_apart():
    seen = []

    def script(prefix, canvas):
        seen.append(list(prefix))
        logits = torch.zeros(20, VOCABULARY.size)
        logits[:, VOCABULARY.end_ids[0]] = 9.0  # the model wants to end at once
        logits[:, ord("m") - 32] = 5.0
        return logits

    made = model()
    made.denoiser = Scripted(20, VOCABULARY.size, script)
    found = made.generate("text", structdiff.Regex("[a-z]{3}"), think=2, max_tokens=20)
    assert found.thought == "m" * 40 and len(found.text) == 3
    assert (found.usage.canvases, found.usage.thought_tokens, found.usage.completion_tokens) == (3, 40, 3)
    thought = [ord("m") - 32] * 40
    assert seen[-1][-40:] == thought and seen[0] == seen[-1][:-40]
    plain = made.generate("text", structdiff.Regex("[a-z]{3}"), max_tokens=20)
    assert plain.thought == "" and seen[-1] == seen[0]
