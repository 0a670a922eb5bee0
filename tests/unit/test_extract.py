"""The front door with a model that answers at random: whatever comes out is valid, typed and complete."""

import enum
import json
import re
import subprocess
import sys
from typing import Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import structdiff
from structdiff.decode.policy import Policy
from structdiff.decode.trace import CanvasStarted, Finished, StepDone
from structdiff.model import Model, Result
from structdiff.testing.scripted import Scripted


class Person(BaseModel):
    name: str = Field(max_length=12)
    age: int = Field(ge=0, le=120)
    kind: Literal["new", "old"] | None = None


class Label(enum.Enum):
    BUG = "bug"
    FEATURE = "feature"


@pytest.fixture(scope="module")
def model() -> Model:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<pad>", "<eos>"]
    )
    tokenizer.train_from_iterator(['{"name": "Ann", "age": 31, "kind": "new"}', "bug feature"] * 9, trainer)
    scripted = Scripted.random(24, tokenizer.get_vocab_size(), seed=1)
    wrapped = _Callable(tokenizer)
    return Model(scripted, wrapped, Policy(max_steps=3), (1,), "scripted")


class _Callable:
    """The part of a transformers fast tokenizer that the front door uses, around a bare one."""

    chat_template = None

    def __init__(self, backend: Tokenizer) -> None:
        self.backend_tokenizer = backend
        self.eos_token_id = 1

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": self.backend_tokenizer.encode(text).ids}


def test_a_class_in_an_instance_out(model: Model) -> None:
    for seed in range(10):
        person = model("Ann is 31.", Person, seed=seed)
        assert isinstance(person, Person)
        assert 0 <= person.age <= 120


def test_schema_regex_choice_enum_and_literal(model: Model) -> None:
    schema = {"type": "array", "items": {"type": "integer", "minimum": -5, "maximum": 5}, "minItems": 2, "maxItems": 4}
    jsonschema.validate(model("numbers", schema), schema)
    assert re.fullmatch(r"[A-Z]{3}-\d{4}", model("a code", structdiff.Regex(r"[A-Z]{3}-\d{4}")))
    assert model("a label", structdiff.Choice(["bug", "feature", "question"])) in ("bug", "feature", "question")
    assert model("a label", Label) in Label
    assert model("a label", Literal["yes", "no"]) in ("yes", "no")
    assert all(isinstance(n, int) for n in model("numbers", list[int], max_tokens=40))


def test_the_result_tells_what_it_cost(model: Model) -> None:
    result = model.generate("Ann is 31.", Person, max_tokens=60, seed=3)
    assert result.value == Person.model_validate_json(result.text)
    assert result.finish_reason == "stop"
    assert 0 < result.usage.completion_tokens <= 60
    assert result.usage.steps >= result.usage.canvases >= 1
    assert '"name": string' in result.prompt
    assert "Ann is 31." in result.prompt
    assert len(result.tokens) == result.usage.completion_tokens


def test_a_batch_may_mix_constraints_and_equals_single_calls() -> None:
    """Rows of a batch are what each is alone: the scripted logits depend on the row's own prefix only."""
    import torch

    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(["<eos>", *pre_tokenizers.ByteLevel.alphabet()])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    size = backend.get_vocab_size()

    def script(prefix: list[int], canvas: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(sum(prefix) + int(canvas.sum()))
        return torch.randn(16, size, generator=generator) * 3

    single = Model(Scripted(16, size, script), _Callable(backend), Policy(max_steps=3), (0,), "scripted")
    sources = [Person, {"type": "boolean"}, structdiff.Regex("[ab]{3,40}"), structdiff.Choice(["x", "y"])]
    texts = ["Ann", "Is it so?", "some text", "x or y"]
    together = single.batch(texts, sources, seed=[1, 2, 3, 4], max_tokens=80)
    for text, source, seed, result in zip(texts, sources, (1, 2, 3, 4), together, strict=True):
        assert single.generate(text, source, seed=seed, max_tokens=80) == result


def test_streaming_ends_with_the_result(model: Model) -> None:
    events = list(model.stream("Ann is 31.", Person, seed=5, max_tokens=70))
    assert isinstance(events[0], CanvasStarted)
    assert any(isinstance(e, StepDone) for e in events)
    assert isinstance(events[-2], Finished)
    assert isinstance(events[-1], Result)
    assert events[-1].value == Person.model_validate_json(events[-2].text)
    with pytest.raises(TypeError, match="there is no option 'speed'; did you mean 'seed'"):
        list(model.stream("Ann", Person, speed=3))
    pinned = list(model.stream("Ann is 31.", Person, seed=5, pinned={"age": 7}, whitespace="compact"))[-1]
    assert isinstance(pinned, Result) and pinned.value.age == 7 and ": " not in pinned.text
    unsure = list(model.stream("Ann is 31.", Person, seed=5, min_confidence=1.0))[-1]
    assert isinstance(unsure, Result) and any(problem.startswith("/age: ") for problem in unsure.problems)


def test_bad_calls(model: Model) -> None:
    with pytest.raises(structdiff.GenerationError, match="text is empty"):
        model("  \n", Person)
    with pytest.raises(structdiff.BudgetTooSmall, match="allow at least"):
        model("Ann", Person, max_tokens=3)
    with pytest.raises(ValueError, match="do not pair up"):
        model.batch(["a", "b"], [Person])
    with pytest.raises(structdiff.InvalidSchema, match="not a schema"):
        model("Ann", object())
    with pytest.raises(structdiff.InvalidSchema, match="no such file"):
        model("Ann", "missing.json")
    with pytest.raises(structdiff.InvalidSchema, match="not JSON"):
        model("Ann", "{nonsense")
    with pytest.raises(TypeError, match="takes no options"):
        structdiff.compile(structdiff.Regex("a"), model.vocabulary, whitespace="compact")
    with pytest.raises(structdiff.Unsatisfiable):
        model("Ann", {"type": "integer", "minimum": 5, "maximum": 4})
    with pytest.raises(structdiff.UnsupportedSchema) as caught:
        model("Ann", {"type": "object", "properties": {"t": {"type": "array", "contains": {}, "uniqueItems": True}}})
    assert caught.value.pointer == "/properties/t"


def test_constraint_and_plan(model: Model) -> None:
    constraint = structdiff.compile(Person, model.vocabulary, whitespace="compact")
    assert constraint.matches('{"name":"Ann","age":3}')
    assert not constraint.matches('{"name":"Ann"}')
    plan = constraint.plan(max_tokens=constraint.min_tokens)
    spelled = b"".join(
        model.vocabulary.bytes_of([plan.anchors[i]]) if i in plan.anchors else b"?" for i in range(plan.length)
    )
    assert spelled == b'{"name":?","age":?}'  # one token opens and fills the name, one digit is the age
    for position, token in plan.anchors.items():
        assert plan.allowed(position).tolist() == [token]
    with pytest.raises(structdiff.BudgetTooSmall):
        constraint.plan(constraint.min_tokens - 1)
    with pytest.raises(IndexError):
        plan.allowed(plan.length)


def test_every_allowed_token_can_occur(model: Model) -> None:
    """The plan is exact: forcing any allowed token at its position leaves a way to finish within the budget."""
    source = {"type": "object", "properties": {"a": {"enum": ["x", "yy"]}, "b": {"type": "boolean"}}, "required": ["a"]}
    constraint = structdiff.compile(source, model.vocabulary, whitespace="compact")
    budget = constraint.min_tokens + 4
    plan, automaton = constraint.plan(budget), constraint.automaton
    possible: list[set[int]] = [set() for _ in range(budget)]
    ends = constraint.vocabulary.end_ids

    def walk(state: int, prefix: list[int]) -> bool:
        """Enumerate every output of at most ``budget`` tokens; collect what occurs where."""
        found = False
        if automaton.accepting[state]:
            found = True
            for i, token in enumerate(prefix):
                possible[i].add(token)
            if len(prefix) < budget:
                possible[len(prefix)].update(ends)
        if len(prefix) < budget:
            for k in range(automaton.edge_at[state], automaton.edge_at[state + 1]):
                for token in automaton.tokens_of_label(automaton.edge_label[k]):
                    found |= walk(int(automaton.edge_to[k]), [*prefix, int(token)])
        return found

    assert walk(0, [])
    for position in range(budget):
        assert set(plan.allowed(position).tolist()) == possible[position]


def test_import_is_light() -> None:
    code = (
        "import structdiff, sys; print([m for m in ('torch', 'transformers', 'numba', 'pydantic') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    code = (
        "import json, structdiff, sys; structdiff.compile(json.loads(sys.argv[1]), sys.argv[2]); "
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    embedded = structdiff.__path__[0] + "/models/embedded"
    arguments = [sys.executable, "-c", code, json.dumps({"type": "boolean"}), embedded]
    assert subprocess.run(arguments, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_default_model_needs_no_modelling_code() -> None:
    """It is most of what transformers takes to import."""
    code = (
        "import structdiff.models.prepared, structdiff.loading, sys; from transformers import PreTrainedTokenizerFast; "
        "print([m for m in ('transformers.modeling_utils', 'torch._dynamo', 'torch.distributed.tensor') "
        "if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
