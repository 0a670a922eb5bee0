"""The passes in Triton against the readable reference and against the passes of the host.

On a machine with a GPU they run on it. Elsewhere Triton's interpreter runs them (`test_device.py` starts it), which
checks what they compute; that they compile for a GPU has a test of its own.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import structdiff
from structdiff.automata.tree import Repeat, literal, sequence, union
from structdiff.lattice import frame as frames
from structdiff.lattice import kernels, reference
from structdiff.lattice.device_frames import place_frames
from structdiff.lattice.lattice import Lattice
from structdiff.testing.tiny import tiny, tiny_vocabulary
from structdiff.tokens.vocabulary import Vocabulary

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not (INTERPRETED or torch.cuda.is_available()):
    pytest.skip("no GPU, and Triton's interpreter was not asked for", allow_module_level=True)
triton_passes = pytest.importorskip("structdiff.lattice.triton_passes", exc_type=ImportError)

DEVICE = "cpu" if INTERPRETED else "cuda"
EMBEDDED = Vocabulary.of(Path(structdiff.__file__).parent / "models" / "embedded")
PLAIN = tiny_vocabulary("a b ab")
STRADDLING = tiny_vocabulary([b'{"', b"{", b'"', b'":', b":", b'a":"', b"a", b'"}', b"}"])
TINY = {
    "words": ("ab|b|abb", PLAIN, 4, 0),
    "loop": (Repeat(union(literal("a"), literal("b"))), PLAIN, 4, 0),
    "straddling": (sequence(literal('{"a":"'), Repeat(literal("a"), 0, 2), literal('"}')), STRADDLING, 5, 0),
    "later canvas": (Repeat(literal("ab"), 3, 3), PLAIN, 2, 1),
}
SCHEMAS = {
    "flag": ({"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}, 9, 0),
    "word": ({"type": "string", "maxLength": 4}, 4, 2),
    "choice": ({"enum": ["red", "green", "blue", 12, None]}, 5, 0),
}
SPREADS = [
    *(("words", spread) for spread in (1e-30, 300.0, "excluded")), ("loop", 30.0), ("straddling", 3000.0),
    ("straddling", "excluded"), ("later canvas", 1.0), ("flag", 3000.0), ("flag", "excluded"), ("word", 3000.0),
    ("choice", 30.0),
]  # fmt: skip


@cache
def lattice_of(name: str) -> tuple[Lattice, Vocabulary]:
    if name in TINY:
        words, vocabulary, n, left = TINY[name]
        return Lattice(tiny(words, vocabulary), n, left), vocabulary
    schema, n, left = SCHEMAS[name]
    constraint = structdiff.compile(schema, EMBEDDED, whitespace="compact")
    return Lattice(constraint.automaton, n, left), EMBEDDED


def logits_of(lattice: Lattice, vocabulary: Vocabulary, spread: float | str, seed: int = 0) -> np.ndarray:
    r = np.random.default_rng(seed)
    logits = r.normal(size=(lattice.frame.length, vocabulary.size)).astype(np.float32)
    if spread == "excluded":
        logits[r.random(logits.shape) < 0.5] = -np.inf
        logits[:, vocabulary.end_ids[0]] = 0.0
        return logits
    return logits * np.float32(spread)


def weights_of(lattice: Lattice, logits: np.ndarray, gamma: float = 1.0, known: np.ndarray | None = None):
    """(log p of labels, their doubles, their pairs m and k, their log scores)."""
    f, a, r = lattice.frame, lattice.automaton, lattice.reduce(logits, 0.7)
    places = (f.block, f.labels_at, f.labels, a.label_at, a.label_class)
    found = kernels.label_weights(r.mass, r.top, *places, gamma, a.classes - 1, a.labels)
    if known is not None:
        kernels.make_certain(known, *found, *places, a.classes - 1, a.labels)
    return found


def on_device(rows, wide: int = 32, tile: int = 2048):
    """The passes of rows of (frame, weights), all at once."""
    placed = place_frames([frame for frame, _ in rows], DEVICE, wide)
    given = [[torch.from_numpy(w[which]).to(DEVICE) for _, w in rows] for which in (2, 3, 4)]
    return triton_passes.run_passes(placed, *given, tile=tile)


def on_host(lattice: Lattice, weights):
    f, (_, double, weight, weight_k, best) = lattice.frame, weights
    edges = (f.at, f.state, f.edge_at, f.target, f.label, f.block, f.labels_at, f.labels, double, weight, weight_k)
    beta, beta_k = kernels.backward(*edges)
    marginal = kernels.forward(*edges, beta, beta_k)
    return beta, beta_k, marginal, kernels.maximum(f.at, f.state, f.edge_at, f.target, f.label, best)


def assert_equal_to_the_host(lattice: Lattice, weights, found) -> None:
    beta, beta_k, marginal, (labels, state, score) = on_host(lattice, weights)
    mine, mine_k = found.beta.cpu().numpy(), found.beta_k.cpu().numpy()
    assert (mine > 0).all()
    np.testing.assert_allclose(np.log(mine / beta) + (mine_k - beta_k) * kernels.LOG_UNIT, 0, atol=1e-9)
    np.testing.assert_allclose(found.marginal.cpu().numpy(), marginal, rtol=0, atol=1e-9)
    assert float(found.log_z) == pytest.approx(np.log(beta[0]) + beta_k[0] * kernels.LOG_UNIT, rel=1e-12, abs=1e-9)
    assert found.labels.tolist() == labels.tolist()
    assert (int(found.state), float(found.score)) == (state, score)


def tokens_of(lattice: Lattice, logits: np.ndarray, weights, marginal: np.ndarray) -> np.ndarray:
    """float64[n, V]: what the marginals of labels say of tokens."""
    f, a, r = lattice.frame, lattice.automaton, lattice.reduce(logits, 0.7)
    factor, _ = kernels.token_factors(
        r.mass, r.mean, weights[0], marginal, f.block, f.labels_at, f.labels, a.label_at, a.label_class, a.classes - 1,
        a.labels,
    )  # fmt: skip
    return np.exp(reference.log_softmax(logits, 0.7) + factor[:, a.class_of])


@pytest.mark.parametrize(("name", "spread"), SPREADS)
def test_passes_equal_those_of_the_host(name: str, spread: float | str) -> None:
    lattice, vocabulary = lattice_of(name)
    gamma = 0.3 if spread in (30.0, "excluded") else 1.0
    weights = weights_of(lattice, logits_of(lattice, vocabulary, spread), gamma)
    (found,) = on_device([(lattice.frame, weights)])
    assert_equal_to_the_host(lattice, weights, found)


@pytest.mark.parametrize(
    ("name", "spread"), [("words", 3.0), ("straddling", 3.0), ("later canvas", 30.0), ("flag", 1.0)]
)
def test_passes_equal_the_reference(name: str, spread: float) -> None:
    lattice, vocabulary = lattice_of(name)
    logits, left = logits_of(lattice, vocabulary, spread, seed=4), (TINY | SCHEMAS)[name][-1]
    weights = weights_of(lattice, logits, 0.8)
    (found,) = on_device([(lattice.frame, weights)])
    expected, log_z = reference.posterior(
        lattice.automaton, list(vocabulary.end_ids), logits, left=left, temperature=0.7, gamma=0.8
    )
    tokens = tokens_of(lattice, logits, weights, found.marginal.cpu().numpy())
    np.testing.assert_allclose(tokens, expected, rtol=0, atol=1e-9)
    assert float(found.log_z) == pytest.approx(log_z, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", ["loop", "straddling"])
def test_the_maximum_is_that_of_all_outputs(name: str) -> None:
    lattice, vocabulary = lattice_of(name)
    logits = logits_of(lattice, vocabulary, 3.0, seed=5)
    own = reference.log_softmax(logits, 0.7)
    every = reference.outputs(lattice.automaton, vocabulary.end_ids, lattice.frame.length, TINY[name][-1])
    best = max(sum(own[i, t] for i, t in enumerate(tokens[:length])) for tokens, length, _ in every)
    (found,) = on_device([(lattice.frame, weights_of(lattice, logits))])
    assert float(found.score) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("wide", [2, 1000])
def test_tiles_do_not_matter(wide: int) -> None:
    """Segments and layers longer than a tile, and a tile of every shape."""
    lattice, vocabulary = lattice_of("word")
    assert np.diff(lattice.frame.edge_at).max() > 8 and np.diff(lattice.frame.at).max() > 8
    weights = weights_of(lattice, logits_of(lattice, vocabulary, 30.0))
    (found,) = on_device([(lattice.frame, weights)], wide, tile=64)
    assert_equal_to_the_host(lattice, weights, found)


def in_logs(frame, log):
    """(marginals, log Z) from log weights [n, labels + 2], by the definition: sums over the live edges."""
    n, S = frame.length, len(frame.edge_at) - 1
    beta, alpha = np.full((n + 1, S), -np.inf), np.full((n + 1, S), -np.inf)
    beta[n, frame.state[frame.at[n] :]] = 0.0
    alpha[0, frame.start] = 0.0
    edges = [(s, e) for s in range(S) for e in range(frame.edge_at[s], frame.edge_at[s + 1])]
    for i in reversed(range(n)):
        for s, e in edges:
            beta[i, s] = np.logaddexp(beta[i, s], log[i, frame.label[e]] + beta[i + 1, frame.target[e]])
    marginal = np.zeros(log.shape)
    for i in range(n):
        for s, e in edges:
            l, t = frame.label[e], frame.target[e]
            flow = alpha[i, s] + log[i, l]
            marginal[i, l] += np.exp(flow + beta[i + 1, t] - beta[0, frame.start])
            alpha[i + 1, t] = np.logaddexp(alpha[i + 1, t], flow)
    return marginal, beta[0, frame.start]


@pytest.mark.parametrize("base", [-128, -384, 128])
@pytest.mark.parametrize("name", ["loop", "straddling"])
def test_pairs_on_both_sides_of_a_unit_add_up(name: str, base: int) -> None:
    """Weights near 2^base are as large as each other with k of their own: terms of a sum lie two units apart."""
    lattice, _ = lattice_of(name)
    f, r = lattice.frame, np.random.default_rng(base % 7)
    log2 = base + r.uniform(-1, 1, (f.length, lattice.automaton.labels + 2))
    k = np.floor(log2 / 256 + 0.5).astype(np.int64)
    m = 2.0 ** (log2 - 256 * k)
    assert len(np.unique(k)) == 2
    expected, log_z = in_logs(f, log2 * np.log(2))
    (found,) = on_device([(f, (None, None, m, k, log2))])
    np.testing.assert_allclose(found.marginal.cpu().numpy(), expected, rtol=0, atol=1e-9)
    assert float(found.log_z) == pytest.approx(log_z, rel=1e-12)


def test_rows_of_a_batch_are_those_alone() -> None:
    rows = []
    for seed, name in enumerate(["choice", "words", "words"]):
        lattice, vocabulary = lattice_of(name)
        rows.append((lattice.frame, weights_of(lattice, logits_of(lattice, vocabulary, 8.0, seed))))
    for row, found in zip(rows, on_device(rows, 4, 512), strict=True):
        (alone,) = on_device([row], 4, 512)
        for field, value in vars(alone).items():
            assert torch.equal(getattr(found, field), value), field


def test_a_row_without_a_path_has_no_mass_and_leaves_others_alone() -> None:
    """`build_frame` refuses such a row; a frame made by hand says what the passes do with it."""
    automaton = tiny(Repeat(literal("ab"), 4, 4), tiny_vocabulary("a b"))
    with pytest.raises(structdiff.BudgetTooSmall):
        Lattice(automaton, 3, left=0)
    edges = frames._with_end(
        automaton.edge_at, automaton.edge_to, automaton.edge_label, automaton.accepting, automaton.labels
    )
    live = frames._live(*edges, automaton.distance, 0, 3, 0, automaton.labels)
    frame = frames.Frame(automaton, 0, 3, *live[:2], *edges, *live[2:])
    shape = (3, automaton.labels + 2)
    weights = (None, None, np.ones(shape), np.zeros(shape, np.int64), np.zeros(shape))
    lattice, vocabulary = lattice_of("words")
    other = (lattice.frame, weights_of(lattice, logits_of(lattice, vocabulary, 1.0)))
    empty, found = on_device([(frame, weights), other])
    assert float(empty.log_z) == float(empty.score) == -np.inf
    assert empty.labels.tolist() == [-1] * 3 and int(empty.state) == -1
    assert not empty.beta.any() and not empty.marginal.any()
    assert_equal_to_the_host(lattice, other[1], found)


def test_known_tokens_that_no_output_has() -> None:
    """Every path has a label that a known token excludes: its mass is as good as zero, and there is no maximum."""
    lattice, vocabulary = lattice_of("words")
    a = lattice.automaton
    known = a.class_of[np.array([1, 1, 0, 0])]  # "bb"
    weights = weights_of(lattice, logits_of(lattice, vocabulary, 1.0), known=known)
    (found,) = on_device([(lattice.frame, weights)])
    beta, beta_k, marginal, _ = on_host(lattice, weights)
    assert int(found.beta_k[0]) == beta_k[0] <= kernels.EXCLUDED >> 1
    np.testing.assert_allclose(found.beta.cpu().numpy(), beta, rtol=1e-9)
    np.testing.assert_allclose(found.marginal.cpu().numpy(), marginal, rtol=0, atol=1e-9)
    assert float(found.score) == -np.inf and found.labels.tolist() == [-1] * 4 and int(found.state) == -1


@pytest.mark.parametrize("known", [[0, -1, -1, -1], [-1, 1, 3, -1]])
def test_known_tokens_are_certain(known: list[int]) -> None:
    lattice, vocabulary = lattice_of("words")
    tokens = np.array(known)
    classes = np.where(tokens < 0, -1, lattice.automaton.class_of[tokens])
    weights = weights_of(lattice, logits_of(lattice, vocabulary, 300.0), known=classes)
    (found,) = on_device([(lattice.frame, weights)])
    assert_equal_to_the_host(lattice, weights, found)


def test_wrong_tensors_are_refused() -> None:
    lattice, vocabulary = lattice_of("words")
    _, _, m, k, best = (torch.from_numpy(w).to(DEVICE) for w in weights_of(lattice, logits_of(lattice, vocabulary, 1)))
    placed = place_frames([lattice.frame], DEVICE)
    with pytest.raises(ValueError, match="weight_k of row 0 must be torch.int64"):
        triton_passes.run_passes(placed, [m], [k.int()], [best])
    with pytest.raises(ValueError, match=r"best of row 0 must be .*\[4, \d"):
        triton_passes.run_passes(placed, [m], [k], [best[:3]])
    with pytest.raises(ValueError, match="weight has 2 rows, the frames 1"):
        triton_passes.run_passes(placed, [m, m], [k], [best])
    with pytest.raises(ValueError, match="power of two"):
        triton_passes.run_passes(placed, [m], [k], [best], tile=96)
    with pytest.raises(ValueError, match="no frames"):
        place_frames([], DEVICE)


COMPILES = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from structdiff.lattice import triton_passes as passes
F, I, L, N = "*fp64", "*i32", "*i64", "i64"
shape = {"COLUMNS": 12, "WIDE_R": 8, "R": 256, "Q": 8}
for kernel, types in (
    (passes._walk, [L, L, I, I, I, I, I, F, L, F, F, L, F, I, L, I] + [N] * 5),
    (passes._marginals, [L, L, I, I, I, I, F, L, F, L, F] + [N] * 2),
):
    signature = dict(zip(kernel.arg_names, types + ["constexpr"] * 4, strict=True))
    values = {(kernel.arg_names.index(name),): value for name, value in shape.items()}
    options = {"num_warps": passes.WARPS, "num_stages": 1}
    made = compile(ASTSource(kernel, signature, values), target=GPUTarget("cuda", 90, 32), options=options)
    code = made.asm["ptx"]
    assert made.asm["cubin"] and "st.global" in code
    assert kernel is passes._marginals or "ttg.barrier all" in made.asm["ttgir"]
    for unwanted in ("atom.", "red.", "ex2.", ".local"):
        assert unwanted not in code.replace("shared.", ""), unwanted
print("both compiled")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the assembler comes with Triton for Linux")
def test_the_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    """For compute capability 9.0, no GPU needed: without atomic operations, exponentials and spilled registers."""
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", COMPILES], env=environment, capture_output=True, text=True, timeout=300)
    assert ran.stdout.strip() == "both compiled", ran.stderr[-2000:]
