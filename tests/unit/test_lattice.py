"""The lattice against brute force: every token string of a small vocabulary, enumerated."""

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structdiff.automata.tree import ByteSet, Repeat, literal, sequence, union
from structdiff.core.errors import BudgetTooSmall, GenerationError
from structdiff.core.threads import THREADS
from structdiff.lattice import kernels, reference
from structdiff.lattice.lattice import Lattice
from structdiff.lattice.prefixes import Prefixes
from structdiff.testing.tiny import tiny, tiny_vocabulary
from structdiff.tokens.automaton import TokenAutomaton
from structdiff.tokens.vocabulary import Vocabulary

PLAIN = tiny_vocabulary("a b ab")
STRADDLING = tiny_vocabulary([b'{"', b"{", b'"', b'":', b":", b'a":"', b"a", b'"}', b"}"])
ENDS = tiny_vocabulary([b"a", None, b"b", b"ab", None], ends=(1, 4))  # two end tokens
FALLBACK = tiny_vocabulary([b"\xc3", b"\xa9", "é".encode(), b"e", b"\xa9e"])  # bytes of a character, one by one
TWINS = tiny_vocabulary([b"a", b"a", b"aa", b"b"])  # several ids share bytes

CASES = {
    "words": ("ab|b|abb", PLAIN, 4, 0),
    "loop": (Repeat(union(literal("a"), literal("b"))), PLAIN, 4, 0),
    "straddling": (sequence(literal('{"a":"'), Repeat(literal("a"), 0, 2), literal('"}')), STRADDLING, 5, 0),
    "ends": (Repeat(literal("ab"), 1, 2), ENDS, 5, 0),
    "fallback": (Repeat(literal("é"), 1, 2), FALLBACK, 4, 0),
    "twins": (Repeat(literal("a"), 1, 3), TWINS, 4, 0),
    "next canvas": (sequence(Repeat(ByteSet.of(b"ab"), 4, 6)), PLAIN, 3, 2),
    "later canvas": (Repeat(literal("ab"), 3, 3), PLAIN, 2, 1),
}


def outputs(automaton: TokenAutomaton, vocabulary: Vocabulary, n: int, left: int, start: int = 0):
    return reference.outputs(automaton, vocabulary.end_ids, n, left, start)


def logits_for(seed: int, n: int, V: int, spread: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, V)) * spread).astype(np.float32)


def brute(automaton, vocabulary, logits, left, start=0, temperature=1.0):
    """(marginals, log Z, best score, probability of each text part)."""
    own = reference.log_softmax(logits, temperature)
    n, V = logits.shape
    marginal, total, best, parts = np.zeros((n, V)), 0.0, -np.inf, {}
    for tokens, length, _ in outputs(automaton, vocabulary, n, left, start):
        p = np.exp(sum(own[i, t] for i, t in enumerate(tokens)))
        total += p
        for i, t in enumerate(tokens):
            marginal[i, t] += p
        best = max(best, sum(own[i, t] for i, t in enumerate(tokens[:length])))
        parts[tokens[:length]] = parts.get(tokens[:length], 0.0) + p
    return marginal / total, np.log(total), best, {k: v / total for k, v in parts.items()}


def dense(posterior, vocabulary) -> np.ndarray:
    own = reference.log_softmax(posterior.logits, posterior.temperature)
    return np.exp(own + posterior.factor[:, posterior.frame.automaton.class_of])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_marginals_and_maximum_equal_enumeration(name: str, temperature: float) -> None:
    language, vocabulary, n, left = CASES[name]
    automaton = tiny(language, vocabulary)
    logits = logits_for(len(name), n, vocabulary.size)
    marginal, log_z, best, parts = brute(automaton, vocabulary, logits, left, temperature=temperature)
    posterior = Lattice(automaton, n, left).posterior(logits, temperature)
    assert np.abs(dense(posterior, vocabulary) - marginal).max() < 1e-9
    assert abs(posterior.log_z - log_z) < 1e-9
    tokens, _, score = posterior.maximum
    assert abs(score - best) < 1e-9
    length = next((i + 1 for i, t in enumerate(tokens) if t in vocabulary.end_ids), n)
    assert tuple(tokens[:length].tolist()) in parts
    entropy = -np.where(marginal > 0, marginal * np.log(np.maximum(marginal, 1e-300)), 0).sum(1)
    assert np.abs(posterior.entropy - entropy).max() < 1e-9


@pytest.mark.parametrize("name", CASES)
def test_draws_follow_the_joint_posterior(name: str) -> None:
    from scipy.stats import chisquare

    language, vocabulary, n, left = CASES[name]
    automaton = tiny(language, vocabulary)
    logits = logits_for(7, n, vocabulary.size, spread=1.0)
    _, _, _, parts = brute(automaton, vocabulary, logits, left)
    posterior = Lattice(automaton, n, left).posterior(logits)
    rng = np.random.default_rng(11)
    draws = 20_000
    counts: dict[tuple[int, ...], int] = dict.fromkeys(parts, 0)
    for _ in range(draws):
        tokens, state = posterior.draw(rng.random((n, 3)))
        length = next((i + 1 for i, t in enumerate(tokens) if t in vocabulary.end_ids), n)
        counts[tuple(tokens[:length].tolist())] += 1  # a KeyError is a draw outside the language
        assert (state == automaton.states) == (length < n or tokens[n - 1] in vocabulary.end_ids)
    expected = np.array([parts[k] * draws for k in parts])
    observed = np.array([counts[k] for k in parts], float)
    rare = expected < 5
    expected = np.append(expected[~rare], expected[rare].sum())
    observed = np.append(observed[~rare], observed[rare].sum())
    if expected[-1] == 0:
        expected, observed = expected[:-1], observed[:-1]
    if len(expected) > 1:
        assert chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("gamma", [1.0, 0.3])
def test_fast_path_equals_reference(name: str, gamma: float) -> None:
    language, vocabulary, n, left = CASES[name]
    for canonical in (False, True):
        automaton = tiny(language, vocabulary, canonical)
        for seed, spread in ((1, 1.0), (2, 8.0), (3, 300.0)):
            logits = logits_for(seed, n, vocabulary.size, spread)
            if automaton.distance[0] > n + left:
                continue
            expected, log_z = reference.posterior(
                automaton, list(vocabulary.end_ids), logits, left=left, temperature=0.7, gamma=gamma
            )
            posterior = Lattice(automaton, n, left).posterior(logits, 0.7, gamma)
            assert np.abs(dense(posterior, vocabulary) - expected).max() < 1e-9
            assert abs(posterior.log_z - log_z) < 1e-9 * max(1, abs(log_z))


@pytest.mark.skipif(THREADS == 1, reason="one core")
def test_the_maximum_of_a_large_frame_is_found_beside_the_posterior(monkeypatch) -> None:
    found, plain = [], kernels.maximum

    def watched(*arguments):
        found.append(threading.current_thread().name)
        return plain(*arguments)

    monkeypatch.setattr(kernels, "maximum", watched)
    lattice = Lattice(tiny(Repeat(union(literal("a"), literal("b"))), PLAIN), 9)
    reduction = lattice.reduce(logits_for(1, 9, PLAIN.size), 0.7)
    small = lattice.posterior_of(reduction, ahead=True).maximum
    monkeypatch.setattr("structdiff.lattice.lattice.AHEAD_FROM", len(lattice.frame.state))
    large = lattice.posterior_of(reduction, ahead=True).maximum
    assert small[0].tolist() == large[0].tolist() and small[1:] == large[1:]
    assert found[0] == threading.current_thread().name and found[1].startswith("structdiff-kernel")


def certain(logits: np.ndarray, revealed: np.ndarray) -> np.ndarray:
    """Logits under which every revealed token has probability one."""
    out = logits.copy()
    at = np.flatnonzero(revealed >= 0)
    out[at] = -1e30
    out[at, revealed[at]] = 0.0
    return out


def some_revealed(automaton, vocabulary, n, left, r) -> np.ndarray:
    """The tokens of a random output at some of its positions, -1 elsewhere."""
    every = list(outputs(automaton, vocabulary, n, left))
    tokens = np.array(every[r.integers(len(every))][0])
    return np.where(r.random(n) < 0.5, tokens, -1)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("on_device", [False, True])
def test_revealed_tokens_are_certain(name: str, on_device: bool) -> None:
    """The posterior given tokens that stand already, against the enumeration of the outputs that have them."""
    from structdiff.lattice.device import reduce_on_device
    from structdiff.lattice.device_classes import Classes

    language, vocabulary, n, left = CASES[name]
    automaton = tiny(language, vocabulary)
    lattice = Lattice(automaton, n, left)
    r = np.random.default_rng(len(name))
    for seed in range(12):
        logits = logits_for(seed, n, vocabulary.size)
        revealed = some_revealed(automaton, vocabulary, n, left, r)
        marginal, log_z, best, parts = brute(automaton, vocabulary, certain(logits, revealed), left, temperature=0.7)
        if on_device:
            import torch

            reduction = reduce_on_device(torch.from_numpy(logits), 0.7, Classes(automaton, "cpu"))
            posterior = lattice.posterior_of(reduction, revealed=revealed)
        else:
            posterior = lattice.posterior(logits, 0.7, revealed=revealed)
        own = reference.log_softmax(certain(logits, revealed), 0.7)
        got = np.exp(own + posterior.factor[:, automaton.class_of])
        exact = 1e-9 if not on_device else 1e-5
        assert np.abs(got - marginal).max() < exact
        assert abs(posterior.log_z - log_z) < exact
        tokens, _, score = posterior.maximum
        assert abs(score - best) < exact
        drawn = [posterior.draw(r.random((n, 3)))[0] for _ in range(20)]
        for one in (tokens, *drawn):
            assert (one[revealed >= 0] == revealed[revealed >= 0]).all()
            length = next((i + 1 for i, t in enumerate(one) if t in vocabulary.end_ids), n)
            assert parts[tuple(one[:length].tolist())] > 0
            assert np.abs(posterior.probabilities(one) - marginal[np.arange(n), one]).max() < exact
        entropy = -np.where(marginal > 0, marginal * np.log(np.maximum(marginal, 1e-300)), 0).sum(1)
        assert np.abs(posterior.entropy - entropy).max() < exact
        tempered, _ = reference.posterior(
            automaton, list(vocabulary.end_ids), certain(logits, revealed), left=left, temperature=0.7, gamma=0.3
        )
        if not on_device:
            posterior = lattice.posterior(logits, 0.7, 0.3, revealed)
            assert np.abs(np.exp(own + posterior.factor[:, automaton.class_of]) - tempered).max() < exact


def test_revealed_tokens_outweigh_what_the_model_rules_out() -> None:
    """The only output left is one that the model gives no chance at all."""
    automaton = tiny("abab|babb", PLAIN)
    logits = np.full((4, PLAIN.size), -np.inf, np.float32)
    logits[:, 3] = 0.0
    logits[0, 1], logits[1, 0], logits[2, 1], logits[3, 1] = 5, 5, 5, 5
    revealed = np.array([0, -1, -1, -1])
    for gamma in (1.0, 0.3, 0.0):
        posterior = Lattice(automaton, 4).posterior(logits, gamma=gamma, revealed=revealed)
        draws = [posterior.draw(np.random.default_rng(seed).random((4, 3)))[0].tolist() for seed in range(20)]
        for tokens in (posterior.maximum[0].tolist(), *draws):
            text = PLAIN.bytes_of(tokens[: tokens.index(3)] if 3 in tokens else tokens)
            assert text == b"abab" and tokens[0] == 0


def test_revealed_tokens_that_no_output_has_are_refused() -> None:
    lattice = Lattice(tiny("ab|b", PLAIN), 3)
    logits = np.zeros((3, PLAIN.size), np.float32)
    with pytest.raises(GenerationError, match=r"no output has the revealed tokens \[1, 0\]"):
        lattice.posterior(logits, revealed=np.array([1, 0, -1]))
    posterior = lattice.posterior(logits, revealed=np.array([-1, 1, -1]))
    with pytest.raises(ValueError, match="revealed"):
        Prefixes(posterior, PLAIN)


def test_a_frame_tells_what_can_stand_at_each_position() -> None:
    """Against the enumeration of all outputs."""
    for name, (language, vocabulary, n, left) in CASES.items():
        automaton = tiny(language, vocabulary)
        frame = Lattice(automaton, n, left).frame
        every = list(outputs(automaton, vocabulary, n, left))
        for i in range(n):
            there = {tokens[i] for tokens, length, _ in every if i < length}
            ended = any(length <= i for _, length, _ in every)
            assert frame.allowed_tokens(i).tolist() == sorted(there), name
            assert frame.may_have_ended(i) == ended
            single = len(there) == 1 and not ended and not there & set(vocabulary.end_ids)
            assert frame.anchors[i] == (next(iter(there)) if single else -1)
            for j in range(n):
                assert frame.alike(i, j) == (frame.live_labels(i).tolist() == frame.live_labels(j).tolist())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["uniform", "forbidden", "huge", "tiny", "excluded"]))
def test_adversarial_logits_still_give_outputs_of_the_language(seed: int, kind: str) -> None:
    language = sequence(literal('{"a":"'), Repeat(literal("a"), 1, 9), literal('"}'))
    automaton = tiny(language, STRADDLING)
    n = 8
    logits = logits_for(seed, n, STRADDLING.size)
    if kind == "uniform":
        logits[:] = 0
    elif kind == "forbidden":
        logits[:, 0] = 1e4
    elif kind == "huge":
        logits *= 1e4
    elif kind == "tiny":
        logits *= 1e-30
    else:
        logits[:, seed % STRADDLING.size] = -np.inf
    posterior = Lattice(automaton, n, left=4).posterior(logits, 0.4)
    assert np.isfinite(posterior.entropy).all()
    for tokens, state in (posterior.maximum[:2], posterior.draw(np.random.default_rng(seed).random((n, 3)))):
        at = 0
        for token in tokens:
            if token in STRADDLING.end_ids:
                break
            at = automaton.step(at, token)
            assert at >= 0
        assert automaton.accepting[at] if state == automaton.states else automaton.distance[at] <= 4


def test_not_a_number_is_refused() -> None:
    logits = np.zeros((3, PLAIN.size), np.float32)
    logits[1, 2] = np.nan
    with pytest.raises(GenerationError, match="position 1"):
        Lattice(tiny("ab"), 3).posterior(logits)


def test_budget_is_exact() -> None:
    automaton = tiny(Repeat(literal("ab"), 4, 4), tiny_vocabulary("a b"))
    assert automaton.distance[0] == 8
    assert Lattice(automaton, 3, left=5).posterior(np.zeros((3, 3), np.float32)).maximum[0].tolist() == [0, 1, 0]
    with pytest.raises(BudgetTooSmall, match="needs 8 tokens but max_tokens is 7"):
        Lattice(automaton, 3, left=4)


def test_canonical_skeleton_keeps_the_strings() -> None:
    """The same texts, fewer spellings; tokens that cross the end of a forced run stay."""
    language = union(literal('{"a":"a"}'), literal('{"a":"aa"}'))

    def texts(canonical: bool) -> tuple[set[bytes], int]:
        automaton = tiny(language, STRADDLING, canonical)
        found = [
            STRADDLING.bytes_of(tokens[: length - (tokens[length - 1] in STRADDLING.end_ids)])
            for tokens, length, state in outputs(automaton, STRADDLING, 6, 0)
            if state == -2 or automaton.accepting[state]
        ]
        return set(found), automaton.edges

    free, free_edges = texts(False)
    kept, kept_edges = texts(True)
    assert kept == free == {b'{"a":"a"}', b'{"a":"aa"}'}
    assert kept_edges < free_edges


LARGE = tiny_vocabulary([bytes(word) for word in itertools.product(b"abcdefghijklmnopqrst", repeat=3)])  # 8,000 tokens


@pytest.mark.parametrize("spread", [0.5, 3.0, 400.0])
def test_draws_from_large_classes_follow_the_model(spread: float) -> None:
    from scipy.stats import chisquare

    automaton = tiny(
        sequence(ByteSet.of(b"abcdefghij"), ByteSet.of(b"abcdefghijklmnopqrst"), ByteSet.of(b"bdm")), LARGE
    )
    logits = logits_for(3, 3, LARGE.size, spread)
    posterior = Lattice(automaton, 3, 0).posterior(logits)
    rng = np.random.default_rng(5)
    draws = np.array([posterior.draw(rng.random((3, 3)))[0] for _ in range(20_000)])
    exact = dense(posterior, LARGE)  # the end stands at position 1, position 2 is tail
    for i in (0, 2):
        expected = exact[i] * len(draws)
        observed = np.bincount(draws[:, i], minlength=LARGE.size).astype(float)
        assert (observed[exact[i] == 0] == 0).all()
        often = expected >= 5
        groups = np.array_split(np.flatnonzero(~often), 8)
        expected = np.append(expected[often], [expected[g].sum() for g in groups])
        observed = np.append(observed[often], [observed[g].sum() for g in groups])
        some = expected > 1e-6
        assert observed[~some].sum() == 0
        if some.sum() > 1:
            assert chisquare(observed[some], expected[some] * observed.sum() / expected[some].sum()).pvalue > 1e-3


def test_the_reduction_over_many_chunks_equals_its_definition() -> None:
    automaton = tiny(
        sequence(ByteSet.of(b"abcdefghij"), ByteSet.of(b"abcdefghijklmnopqrst"), ByteSet.of(b"bdm")), LARGE
    )
    logits = logits_for(9, 4, LARGE.size)
    logits[1] *= 300  # classes far below the best token
    logits[2, automaton.class_of == 1] = -np.inf
    logits[3] = 0.0  # ties
    reduction = Lattice(automaton, 4, 0).reduce(logits, 0.7)
    own = reference.log_softmax(logits, 0.7)
    for c in range(1, automaton.classes):
        members = np.flatnonzero(automaton.class_of == c)
        for i in (0, 1, 3):
            mass = np.logaddexp.reduce(own[i, members])
            assert reduction.mass[i, c] == pytest.approx(mass, abs=1e-9)
            assert reduction.top_token[i, c] == members[np.argmax(logits[i, members])]
            assert reduction.top[i, c] == pytest.approx(own[i, members].max(), abs=1e-9)
            share = np.exp(own[i, members] - mass)
            assert reduction.mean[i, c] == pytest.approx((share * own[i, members]).sum(), rel=1e-9, abs=1e-9)
    assert reduction.argmax.tolist() == np.argmax(logits, 1).tolist()
    assert reduction.top_token[2, 1] in np.flatnonzero(automaton.class_of == 1)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("name", CASES)
def test_probabilities_of_beginnings_and_of_whole_texts(name, temperature):
    words, vocabulary, n, left = CASES[name]
    automaton = tiny(words, vocabulary)
    logits = logits_for(7, n, vocabulary.size)
    own = reference.log_softmax(logits, temperature)
    begins: dict[bytes, float] = {}
    whole: dict[bytes, float] = {}
    total = 0.0
    for tokens, length, state in outputs(automaton, vocabulary, n, left):
        mass = np.exp(sum(own[i, token] for i, token in enumerate(tokens)))
        total += mass
        text = vocabulary.bytes_of(tokens[: length - 1] if state == -2 else tokens)
        for k in range(len(text) + 1):
            begins[text[:k]] = begins.get(text[:k], 0.0) + mass
        last = state >= 0 and automaton.accepting[state]
        if state == -2 or (last and (left == 0 or automaton.edge_at[state + 1] == automaton.edge_at[state])):
            whole[text] = whole.get(text, 0.0) + mass
    posterior = Lattice(automaton, n, left).posterior(logits, temperature)
    found = Prefixes(posterior, vocabulary, max(begins, key=len))
    texts = [*begins, *(bytes(some) for k in (1, 2, 3) for some in itertools.product(b'ab{"', repeat=k))]
    np.random.default_rng(1).shuffle(texts)
    for text in texts:
        assert np.exp(found.log(text)) == pytest.approx(begins.get(text, 0.0) / total, abs=1e-9)
        assert np.exp(found.log_whole(text, left)) == pytest.approx(whole.get(text, 0.0) / total, abs=1e-9)
    assert len(begins) > 3


@pytest.mark.parametrize("spread", [1.0, 30.0, 300.0, 3000.0])
def test_sums_in_plain_doubles_equal_sums_in_pairs(spread: float) -> None:
    """With no doubles every sum is taken in pairs; the states of a long skeleton lie far apart."""
    language = sequence(literal('{"a":"'), Repeat(literal("a"), 0, 60), literal('"}'), Repeat(literal("a"), 0, 9))
    lattice = Lattice(tiny(language, STRADDLING), 64, left=4)
    logits = logits_for(5, 64, STRADDLING.size, spread)
    f, a, r = lattice.frame, lattice.automaton, lattice.reduce(logits, 0.7)
    _, double, weight, weight_k, _ = kernels.label_weights(
        r.mass, r.top, f.block, f.labels_at, f.labels, a.label_at, a.label_class, 1.0, a.classes - 1, a.labels
    )
    edges = (f.at, f.state, f.edge_at, f.target, f.label, f.block, f.labels_at, f.labels)
    beta, beta_k = kernels.backward(*edges, double, weight, weight_k)
    pairs, pairs_k = kernels.backward(*edges, np.zeros_like(double), weight, weight_k)
    assert np.abs(np.log(beta / pairs) + (beta_k - pairs_k) * kernels.LOG_UNIT).max() < 1e-9
    expected, log_z = reference.posterior(a, list(STRADDLING.end_ids), logits, left=4, temperature=0.7)
    posterior = lattice.posterior_of(r)
    assert abs(posterior.log_z - log_z) < 1e-9 * max(1, abs(log_z))
    assert np.abs(posterior.marginal.sum(1) - 1).max() < 1e-9
    assert np.abs(dense(posterior, STRADDLING) - expected).max() < 1e-9
