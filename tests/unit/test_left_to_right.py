"""Writing from left to right: the same text as one plain pass a token, valid, in fewer passes."""

from __future__ import annotations

import itertools
import json
import random
import re

import jsonschema
import numpy as np
import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

import structdiff
from structdiff.core.errors import BudgetTooSmall, GenerationError
from structdiff.decode.cursor import Cursor
from structdiff.decode.engine import Commit, Task
from structdiff.decode.left_to_right import LeftToRight
from structdiff.decode.lookup import PromptLookup, by_number
from structdiff.decode.policy import Policy
from structdiff.decode.repeats import Repeats
from structdiff.decode.trace import CanvasCommitted, Finished
from structdiff.models.causal_lm import CausalLM
from structdiff.testing.tiny import tiny_vocabulary

PIECES = [bytes([b]) for b in range(32, 127)] + [b'{"', b'": ', b'", "', b'"}', b"true", b"false", b"an", b"na", b"ana"]
VOCABULARY = tiny_vocabulary(PIECES)
V, END = VOCABULARY.size, VOCABULARY.end_ids
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "ok": {"type": "boolean"}, "n": {"type": "integer"}},
    "required": ["name", "ok", "n"],
}
SHAPE = {"vocab_size": V, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 512}  # fmt: skip
NETWORKS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=16)),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SHAPE, head_dim=16, sliding_window=8)),
}


def network(kind: str = "llama", seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    made = NETWORKS[kind]()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def plain(model: torch.nn.Module, prompt: list[int], constraint: structdiff.Constraint, budget: int) -> list[int]:
    """Greedy decoding under the constraint, the whole sequence read anew for each token."""
    cursor, state, out = Cursor(constraint.automaton, END), 0, []
    while len(out) < budget:
        with torch.no_grad():
            logits = model(torch.tensor([prompt + out])).logits[0, -1].float().numpy()
        token, state = cursor.best(logits, state, budget - len(out))
        if state == constraint.automaton.states:
            break
        out.append(token)
        if constraint.automaton.final(state):
            break
    return out


def run(model: torch.nn.Module, tasks: list[Task], **policy: int) -> list:
    engine = LeftToRight(CausalLM(model), Policy(**policy))
    for number, task in enumerate(tasks):
        task.number = number
        engine.add(task)
    return sorted(engine.run(), key=lambda outcome: outcome.task.number)


@pytest.mark.parametrize("kind", [*NETWORKS, "phi3"])
def test_rows_of_any_lengths_are_read_as_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "phi3", lambda: Phi3ForCausalLM(Phi3Config(**SHAPE, pad_token_id=0)))
    model = network(kind)
    passes: list[int] = []
    model.base_model.register_forward_pre_hook(lambda *_: passes.append(1))
    rows = [([5, 6, 7], [8, 9]), (list(range(40)), [3]), ([2] * 12, [4, 5, 6, 7, 8, 9, 10, 11, 12]), ([9], [1])]
    alone = [(one := CausalLM(model)).read(one.open(prompt), tokens) for prompt, tokens in rows]
    together = CausalLM(model)
    prefixes = [together.open(prompt) for prompt, _ in rows]
    passes.clear()
    found = together.read_rows([(p, tokens, 0) for p, (_, tokens) in zip(prefixes, rows, strict=True)])
    assert len(passes) == (4 if kind == "phi3" else 1)
    for one, other in zip(alone, found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    for prefix, (prompt, tokens) in zip(prefixes, rows, strict=True):
        together.extend(prefix, tokens)
        with torch.no_grad():
            wanted = model(torch.tensor([prompt + tokens + [13]])).logits[0, -2:].float()
        torch.testing.assert_close(together.read(prefix, [13]), wanted, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def constraint() -> structdiff.Constraint:
    return structdiff.compile(SCHEMA, VOCABULARY, whitespace="compact")


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("lookup", [0, 3, 16])
def test_the_text_is_that_of_a_plain_pass_a_token(kind: str, lookup: int, constraint: structdiff.Constraint) -> None:
    model = network(kind)
    prompts = [VOCABULARY.encode(text.encode()) for text in ('{"name":"banana","ok":true', "a man, a plan: 12 and 12")]
    outcomes = run(
        model, [Task(p, constraint.automaton, 60, end_ids=END, vocabulary=VOCABULARY) for p in prompts], lookup=lookup
    )
    for prompt, outcome in zip(prompts, outcomes, strict=True):
        assert outcome.tokens == plain(model, prompt, constraint, 60)
        jsonschema.validate(json.loads(VOCABULARY.bytes_of(outcome.tokens)), SCHEMA)
        assert outcome.steps < len(outcome.tokens) - 8  # the keys were forced


def test_drafts_save_passes_where_the_model_copies(constraint: structdiff.Constraint) -> None:
    """A network that writes whatever followed the last token before."""
    model = network()
    prompt = VOCABULARY.encode(b'{"name":"banana","ok":true,"n":1} ')

    class Copying(CausalLM):
        def read_rows(self, rows):  # type: ignore[no-untyped-def]
            found = [logits * 0 for logits in super().read_rows(rows)]
            for (prefix, tokens, since), logits in zip(rows, found, strict=True):
                for row, end in enumerate(range(since, len(tokens) + 1)):
                    seen = prefix.tokens[: prefix.committed] + tokens[:end]
                    for token in PromptLookup(seen).following()[:1]:
                        logits[row, token] = 9.0
            return found

    def passes(lookup: int) -> tuple[int, list[int]]:
        engine = LeftToRight(Copying(model), Policy(lookup=lookup))
        engine.add(Task(prompt, constraint.automaton, 60, end_ids=END))
        [outcome] = engine.run()
        return outcome.steps, outcome.tokens

    (plainly, text), (drafted, same) = passes(0), passes(16)
    assert text == same and drafted <= plainly // 2


class Writing(CausalLM):
    """A network that writes a text, in the vocabulary's own tokens."""

    text = b""

    def read_rows(self, rows):  # type: ignore[no-untyped-def]
        found = [logits * 0 for logits in super().read_rows(rows)]
        for (prefix, tokens, since), logits in zip(rows, found, strict=True):
            for row, end in enumerate(range(since, len(tokens) + 1)):
                seen = VOCABULARY.bytes_of([*prefix.tokens[: prefix.committed], *tokens[:end]])
                rest = self.text.removeprefix(seen.partition(b"|")[2])
                logits[row, (VOCABULARY.encode(rest) or END)[0] if rest else END[0]] = 9.0
        return found


def passes_for(prompt: bytes, text: str, schema: dict = SCHEMA, **task: object) -> int:
    """Passes that `Writing` takes for a text of a schema with blanks as the model likes."""
    made = structdiff.compile(schema, VOCABULARY)
    model = Writing(network())
    model.text = text.encode()
    engine = LeftToRight(model, Policy())
    engine.add(Task(VOCABULARY.encode(prompt + b"|"), made.automaton, 60, 0, END, **task))  # type: ignore[arg-type]
    [outcome] = engine.run()
    assert VOCABULARY.bytes_of(outcome.tokens).decode() == text
    return outcome.steps


def test_the_text_between_two_values_takes_no_pass_of_its_own() -> None:
    text = json.dumps({"name": "x", "ok": True, "n": 5})
    with_text, without = passes_for(b"?", text, vocabulary=VOCABULARY), passes_for(b"?", text)
    assert with_text <= 6 and without >= 10


@pytest.mark.parametrize("separators", [(",", ":"), (",", ": "), (", ", ":")])
def test_the_text_between_two_values_has_the_blanks_that_the_model_writes(separators: tuple[str, str]) -> None:
    text = json.dumps({"name": "x", "ok": True, "n": 5}, separators=separators)
    assert passes_for(b"?", text, vocabulary=VOCABULARY) <= passes_for(b"?", text) - 3


def test_a_string_is_closed_where_the_value_ends_in_the_text() -> None:
    name = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    schema = {"type": "object", "properties": {"a": name, "ok": {"type": "boolean"}}, "required": ["a", "ok"]}
    text = '{"a": {"a": "banana"}, "ok": true}'
    ends, goes_on = (passes_for(b"banana" + end, text, schema, vocabulary=VOCABULARY) for end in (b", 12", b"s 12"))
    assert ends < goes_on


def test_look_up_compares_what_tokens_spell() -> None:
    pieces = [b" Ann", b" Lee", b"Ann", b"."]
    for spell, found in ((pieces.__getitem__, [1]), (by_number, [])):
        lookup = PromptLookup([0, 1, 3], spell)
        lookup.extend([2])
        assert lookup.following() == found


def test_a_word_is_looked_up_though_its_first_token_is_another_one() -> None:
    text = json.dumps({"name": "anbanana", "ok": True, "n": 5})
    spelled = passes_for(b'[an"bananas', text, vocabulary=VOCABULARY)
    assert spelled < passes_for(b"?", text, vocabulary=VOCABULARY)


def test_every_budget_is_kept(constraint: structdiff.Constraint) -> None:
    model = network(seed=3)
    least = constraint.min_tokens
    for budget in range(least, least + 6):
        [outcome] = run(model, [Task([5, 6], constraint.automaton, budget, end_ids=END)])
        assert len(outcome.tokens) <= budget
        jsonschema.validate(json.loads(VOCABULARY.bytes_of(outcome.tokens)), SCHEMA)
    with pytest.raises(BudgetTooSmall):
        run(model, [Task([5], constraint.automaton, least - 1, end_ids=END)])


def test_prompts_that_begin_alike_share_their_cache(constraint: structdiff.Constraint) -> None:
    model = CausalLM(network())
    fed: list[int] = []
    encode = model._encode
    model._encode = lambda rows: (fed.extend(len(tokens) for _, tokens in rows), encode(rows))[1]  # type: ignore[method-assign]
    head = list(range(40))
    for end in (50, 60):
        prefix = model.open([*head, end])
        alone = CausalLM(model.network).open([*head, end])
        assert torch.allclose(model.read(prefix, [3, 4]), CausalLM(model.network).read(alone, [3, 4]), atol=1e-5)
    assert fed[0] == 41 and 1 in fed[1:] and 41 not in fed[1:]


@pytest.mark.parametrize("lookup", [0, 16])
def test_the_first_pass_is_the_prompts_own(lookup: int, constraint: structdiff.Constraint) -> None:
    """Behind a prompt what is forced and drafted is read together with it."""
    model, passes = CausalLM(network()), []
    encode = model._encode
    model._encode = lambda rows: (passes.append(1), encode(rows))[1]  # type: ignore[method-assign]
    engine = LeftToRight(model, Policy(lookup=lookup))
    engine.add(Task(VOCABULARY.encode(b"a man"), constraint.automaton, 60, 0, END, vocabulary=VOCABULARY))
    [outcome] = engine.run()
    assert len(passes) == outcome.steps


def test_listeners_get_the_logits_of_each_chunk(constraint: structdiff.Constraint) -> None:
    heard: list[Commit] = []
    model = network(seed=1)
    task = Task([5, 6, 7], constraint.automaton, 90, end_ids=END, on_commit=(heard.append,))
    engine = LeftToRight(CausalLM(model, chunk=16))
    engine.add(task)
    [outcome] = engine.run()
    assert [token for commit in heard for token in commit.tokens] == outcome.tokens and heard[-1].last
    with torch.no_grad():
        whole = model(torch.tensor([[5, 6, 7, *outcome.tokens]])).logits[0, 2:].float().numpy()
    assert np.allclose(heard[0].logits, whole[:16], atol=1e-4)
    assert all(commit.logits.shape == (commit.lattice.frame.length, V) for commit in heard)


def test_free_text_thought_and_events() -> None:
    model, events = network(seed=2), []
    engine = LeftToRight(CausalLM(model, chunk=8), Policy(), events.append)
    engine.add(Task([5, 6], None, 12, end_ids=END, think=1, spell=lambda ids: VOCABULARY.bytes_of(ids).decode()))
    [outcome] = engine.run()
    assert len(outcome.thought) == 8 and not set(outcome.thought) & set(END) and len(outcome.tokens) <= 12
    committed = [event for event in events if isinstance(event, CanvasCommitted)]
    assert [t for event in committed if event.thought for t in event.tokens] == outcome.thought
    assert [t for event in committed if not event.thought for t in event.tokens] == outcome.tokens
    assert isinstance(events[-1], Finished)


def test_a_row_that_fails_leaves_alone(constraint: structdiff.Constraint) -> None:
    class Broken(CausalLM):
        def read_rows(self, rows):  # type: ignore[no-untyped-def]
            found = super().read_rows(rows)
            return [x * float("nan") if row[0].tokens[0] == 1 else x for row, x in zip(rows, found, strict=True)]

    failed: list[str] = []
    engine = LeftToRight(Broken(network()), on_error=lambda task, error: failed.append(str(error)))
    for number, first in enumerate((1, 2)):
        engine.add(Task([first, 3], constraint.automaton, 60, end_ids=END, number=number))
    [outcome] = engine.run()
    assert outcome.task.number == 1 and len(failed) == 1 and "NaN" in failed[0]
    with pytest.raises(GenerationError, match="left to right"):
        engine.add(Task([2], constraint.automaton, 60, end_ids=END, rules=object()))  # type: ignore[arg-type]


# --- arrays that would repeat an element ---

LISTS = {
    "type": "object",
    "properties": {
        "tags": {"type": "array", "items": {"enum": ["an", "ana", "b", "b,]"]}},
        "rows": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"k": {"enum": ["x", "y"]}, "n": {"type": "array", "items": {"type": "boolean"}}},
                "required": ["k", "n"],
            },
        },
    },
    "required": ["tags", "rows"],
}


def repeated(value: object) -> bool:
    """Has any array in it two equal elements that are no numbers and no literals?"""
    if isinstance(value, dict):
        return any(repeated(one) for one in value.values())
    if not isinstance(value, list):
        return False
    told = [json.dumps(one) for one in value if isinstance(one, (str, list, dict))]
    return len(set(told)) < len(told) or any(repeated(one) for one in value)


def answers(schema: dict, seed: int, heard: list[Commit] | None = None, **policy: object) -> tuple[list, list[int]]:
    """(outcomes of three prompts, the tokens that the events told of the first)."""
    told: list[int] = []

    def note(event: object) -> None:
        if isinstance(event, CanvasCommitted) and event.row == 0:
            told.extend(event.tokens)

    made = structdiff.compile(schema, VOCABULARY)
    engine = LeftToRight(CausalLM(network(seed=seed)), Policy(**policy), note)  # type: ignore[arg-type]
    for number, text in enumerate((b"an", b'["b", "b"]', b"ana banana")):
        listeners = () if heard is None or number else (heard.append,)
        engine.add(Task(VOCABULARY.encode(text), made.automaton, 160, 0, END, number=number, on_commit=listeners,
                        vocabulary=VOCABULARY, json=True))  # fmt: skip
    return sorted(engine.run(), key=lambda outcome: outcome.task.number), told


@pytest.mark.parametrize("seed", range(6))
def test_an_array_ends_where_it_would_repeat_an_element(seed: int) -> None:
    plainly, _ = answers(LISTS, seed)
    ended, _ = answers(LISTS, seed, repeats=False)
    alone, _ = answers(LISTS, seed, repeats=False, lookup=0)
    assert [one.tokens for one in ended] == [one.tokens for one in alone]
    for free, one in zip(plainly, ended, strict=True):
        value = json.loads(VOCABULARY.bytes_of(one.tokens))
        jsonschema.validate(value, LISTS)
        assert not repeated(value)
        free_value = json.loads(VOCABULARY.bytes_of(free.tokens))
        assert free.ended_arrays == 0 and (one.ended_arrays > 0) == repeated(free_value)
        if not one.ended_arrays:
            assert one.tokens == free.tokens and one.log_probability == pytest.approx(free.log_probability)


def test_arrays_repeat_where_the_constraint_wants_more_elements() -> None:
    schema = {"type": "array", "items": {"enum": ["an", "b"]}, "minItems": 5, "maxItems": 7}
    for one in answers(schema, 1, repeats=False)[0]:
        value = json.loads(VOCABULARY.bytes_of(one.tokens))
        jsonschema.validate(value, schema)
        assert repeated(value) and one.ended_arrays == 0


@pytest.mark.parametrize("repeats", [True, False])
def test_forced_tokens_behind_a_thought_are_told(repeats: bool, constraint: structdiff.Constraint) -> None:
    events: list[CanvasCommitted] = []
    engine = LeftToRight(
        CausalLM(network(), chunk=4), Policy(repeats=repeats),
        lambda event: events.append(event) if isinstance(event, CanvasCommitted) else None,
    )  # fmt: skip
    engine.add(Task(VOCABULARY.encode(b"an"), constraint.automaton, 60, 0, END, think=1,
                    vocabulary=VOCABULARY, json=True))  # fmt: skip
    [outcome] = engine.run()
    assert [token for event in events if event.thought for token in event.tokens] == outcome.thought
    assert len(outcome.thought) == 4
    assert [token for event in events if not event.thought for token in event.tokens] == outcome.tokens


def test_what_was_told_is_never_taken_back() -> None:
    ended = 0
    for seed in range(6):
        heard: list[Commit] = []
        outcomes, told = answers(LISTS, seed, heard, repeats=False)
        assert told == outcomes[0].tokens == [token for one in heard for token in one.tokens]
        assert outcomes[0].tokens == answers(LISTS, seed, repeats=False)[0][0].tokens
        ended += outcomes[0].ended_arrays
    assert ended


def longest_run(values: list[object]) -> int:
    return max((len(list(group)) for _, group in itertools.groupby(values)), default=0)


@pytest.mark.parametrize("least", [0, 70])
def test_an_array_ends_behind_sixteen_equal_numbers_or_literals(least: int) -> None:
    """Unless the constraint wants more of them; what stands before the run's end is what the model wrote."""
    schema = {"type": "array", "items": {"type": "boolean"}, "minItems": least}
    met = False
    for seed in range(5):
        plainly, ended, alone = (
            [json.loads(VOCABULARY.bytes_of(one.tokens)) for one in answers(schema, seed, **policy)[0]]
            for policy in ({}, {"repeats": False}, {"repeats": False, "lookup": 0})
        )
        assert ended == alone
        for free, value in zip(plainly, ended, strict=True):
            jsonschema.validate(value, schema)
            if least or longest_run(free) <= 16:
                assert value == free
            else:
                assert longest_run(value) == 16 and value == free[: len(value)]
            met = met or longest_run(free) > 16
    assert met


@pytest.mark.parametrize("pieces", [["1", ",", "1,", " 1 ,", "]"], ["1,1,", "1", ","], ["1, ", "1", "]", "1, 1"]])
def test_a_run_of_numbers_is_seen_however_the_text_is_cut(pieces: list[str]) -> None:
    """Fed at random; a run of sixteen is found at its last comma, and then the array's end alone is allowed."""
    spelt = [one.encode() for one in ["[", *pieces, " ", "]", "1", ","]]
    blank, close, digit, comma = range(len(spelt) - 4, len(spelt))
    for seed in range(30):
        r, repeats = random.Random(seed), Repeats(spelt.__getitem__)
        found, text = repeats.write(0), "["
        while not found and text.count("1") < 40:
            fits = [t for t in range(1, len(spelt)) if re.fullmatch(r"\[( ?1 ?, ?)*( ?1)?", text + spelt[t].decode())]
            token = r.choice(fits)
            found, text = repeats.write(token), text + spelt[token].decode()
        assert found and text.replace(" ", "").startswith("[" + "1," * 16)
        dropped = repeats.take_back()
        assert dropped >= 1 and repeats.text.count(b"1") <= 16
        while repeats.closing:
            repeats.write(next(t for t in (digit, blank, comma) if repeats.allows(t)))
        assert [repeats.allows(t) for t in (digit, comma, close)] == [False, False, True]
        assert not repeats.write(close) and repeats.closing is None
        assert bytes(repeats.text).replace(b" ", b"") == b"[" + b"1," * 15 + b"1]"
