"""Token bytes, the trie and token classes, against the tokenizers' own decoding and the definition."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import ByteSet, Repeat, literal, sequence, union
from structdiff.core.errors import CompileLimit, UnsupportedTokenizer
from structdiff.core.limits import Limits
from structdiff.frontends.regex.parser import parse_regex
from structdiff.testing.tiny import tiny_vocabulary
from structdiff.tokens.automaton import build_token_automaton
from structdiff.tokens.classes import token_classes
from structdiff.tokens.table import read_tokenizer
from structdiff.tokens.trie import build_trie, cached_trie
from structdiff.tokens.vocabulary import Vocabulary

GEMMA = Path(__file__).resolve().parents[3] / "shared" / "tokenizers" / "gemma3"
needs_gemma = pytest.mark.skipif(not GEMMA.is_dir(), reason="the Gemma tokenizer is not beside the project")
TEXTS = ['{"name": "Zoë", "n": [1, 2.5]}\n', "naïve 🙂 日本語", "\t  tabs and   blanks "]


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<eos>"]
    )
    tokenizer.train_from_iterator(TEXTS * 5, trainer)
    return tokenizer


def fallback() -> Tokenizer:
    pieces = [f"<0x{b:02X}>" for b in range(256)] + ["<unk>", "▁", "a", "b", "▁a", "ab", "é"]
    tokenizer = Tokenizer(
        models.BPE(
            {p: i for i, p in enumerate(pieces)}, [("▁", "a"), ("a", "b")], byte_fallback=True, unk_token="<unk>"
        )
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<eos>"])
    tokenizer.add_tokens(["<mask>", "<unused1>", "  "])
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(
        models.Unigram([("<unk>", 0.0), ("▁", -1.0), ("a", -2.0), ("▁ab", -1.5), ("b", -2.0)], 0, False)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    tokenizer.add_special_tokens(["<eos>"])
    return tokenizer


@pytest.mark.parametrize("make", [byte_level, fallback])
@pytest.mark.parametrize("text", TEXTS)
def test_token_bytes_spell_what_was_encoded(make, text: str) -> None:
    tokenizer = make()
    table = read_tokenizer(tokenizer)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert b"".join(table.token_bytes[i] for i in ids) == text.encode()


def test_unigram() -> None:
    tokenizer = unigram()
    table = read_tokenizer(tokenizer)
    ids = tokenizer.encode("ab ab b", add_special_tokens=False).ids
    assert b"".join(table.token_bytes[i] for i in ids) == b"ab ab b"
    assert table.token_bytes[0] is None


def test_control_tokens_are_never_text() -> None:
    tokenizer = fallback()
    table = read_tokenizer(tokenizer)
    for piece in ("<eos>", "<mask>", "<unused1>", "<unk>"):
        assert table.token_bytes[tokenizer.token_to_id(piece)] is None
    assert table.token_bytes[tokenizer.token_to_id("  ")] == b"  "
    assert table.end_ids == (tokenizer.token_to_id("<eos>"),)


@pytest.mark.parametrize("model", [models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"), models.WordLevel({"a": 0}, "a")])
def test_unknown_kinds_are_refused_by_name(model) -> None:
    with pytest.raises(UnsupportedTokenizer, match="Word(Piece|Level) tokenizers are not supported"):
        read_tokenizer(Tokenizer(model), (0,))


def test_a_decoder_that_is_not_understood_is_refused() -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0}, []))
    with pytest.raises(UnsupportedTokenizer, match="decoder none"):
        read_tokenizer(tokenizer, (0,))
    with pytest.raises(UnsupportedTokenizer, match="no such file"):
        read_tokenizer("/does/not/exist")
    with pytest.raises(UnsupportedTokenizer, match="not a fast tokenizer"):
        read_tokenizer(object())


def test_trie_holds_every_token_once() -> None:
    texts = [b"b", b"a", None, b"abc", b"ab", b"b", b"abd", b"\xff"]
    trie = build_trie(texts)
    found: dict[bytes, list[int]] = {}
    path = bytearray()
    for node in range(trie.nodes):
        del path[max(int(trie.depth[node]) - 1, 0) :]
        if node:
            path.append(int(trie.byte[node]))
        assert trie.skip[node] == next(
            (m for m in range(node + 1, trie.nodes) if trie.depth[m] <= trie.depth[node]), trie.nodes
        )
        ids = trie.tokens[trie.token_at[node] : trie.token_at[node + 1]].tolist()
        if ids:
            found[bytes(path)] = ids
    assert found == {b"a": [1], b"ab": [4], b"abc": [3], b"abd": [6], b"b": [0, 5], b"\xff": [7]}


def test_trie_cache_survives_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTDIFF_CACHE", str(tmp_path))
    first = cached_trie([b"a", b"ab"], "f")
    (file,) = tmp_path.iterdir()
    again = cached_trie([b"a", b"ab"], "f")
    assert (first.byte == again.byte).all()
    file.write_bytes(b"not a cache")
    assert (cached_trie([b"a", b"ab"], "f").skip == first.skip).all()
    other = cached_trie([b"x"], "g")
    assert other.nodes == 2


def reference_classes(token_bytes, automaton):
    """{partial map of byte states: token ids}, from the definition."""
    out: dict[tuple, set[int]] = {}
    for token, data in enumerate(token_bytes):
        if data:
            moves = tuple((s, automaton.walk(data, s)) for s in range(automaton.states) if automaton.walk(data, s) >= 0)
            if moves:
                out.setdefault(moves, set()).add(token)
    return out


LANGUAGES = [
    sequence(literal('{"a":"'), Repeat(ByteSet.of(b"ab\\"), 0, 3), literal('"}')),
    Repeat(union(literal("ab"), literal("ba"), literal("é"))),
    union(literal("{"), literal('{"')),
    sequence(literal('"'), Repeat(union(ByteSet.of(b"abc"), literal("é"), literal("ab"))), literal('"')),
    parse_regex(r'"[^"\\]*"|b*'),
]


@pytest.mark.parametrize("tree", LANGUAGES)
def test_classes_equal_their_definition(tree) -> None:
    vocabulary = tiny_vocabulary(
        [
            b"a",
            b"b",
            b"ab",
            b"ba",
            b'"',
            b'{"',
            b'":"',
            b"}",
            b'"}',
            b"\xc3",
            b"\xa9",
            "é".encode(),
            b"zz",
            b"a",
            b"aba",
            b"{",
        ]
    )
    automaton = compile_tree(tree)
    classes = token_classes(vocabulary.trie, automaton, vocabulary.size)
    found = {
        tuple(zip(classes.source[lo:hi].tolist(), classes.target[lo:hi].tolist(), strict=True)): set(
            np.flatnonzero(classes.class_of == c).tolist()
        )
        for c in range(1, classes.count)
        for lo, hi in [(classes.at[c], classes.at[c + 1])]
    }
    assert found == reference_classes(vocabulary.table.token_bytes, automaton)


@needs_gemma
def test_gemma_tokens_and_classes() -> None:
    vocabulary = Vocabulary.of(str(GEMMA))
    tokenizer = Tokenizer.from_file(str(GEMMA / "tokenizer.json"))
    assert vocabulary.size == 262_145
    assert vocabulary.end_ids == (1, 106)
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert vocabulary.bytes_of(ids) == text.encode()
        assert vocabulary.encode(text.encode()) == ids
    unused = [
        t["id"] for t in json.loads((GEMMA / "tokenizer.json").read_text())["added_tokens"] if "unused" in t["content"]
    ]
    assert len(unused) == 6242
    assert all(vocabulary.table.token_bytes[i] is None for i in (*unused, 0, 1, 2, 3, 4))
    automaton = compile_tree(sequence(literal('{"name": "'), Repeat(ByteSet.of(b"abc "), 0, 5), literal('"}')))
    classes = token_classes(vocabulary.trie, automaton, vocabulary.size)
    expected = reference_classes(vocabulary.table.token_bytes, automaton)
    assert classes.count - 1 == len(expected)
    for tokens in expected.values():
        (klass,) = {int(classes.class_of[t]) for t in tokens}
        assert int((classes.class_of == klass).sum()) == len(tokens)


@needs_gemma
@pytest.mark.parametrize("pattern", [r'\{"name": "[^"\\\n]*"\}', r"[a-zé]*|é?", r"(.|\n)*", r"\w*"])
def test_strides_over_text_change_nothing(pattern: str) -> None:
    vocabulary = Vocabulary.of(str(GEMMA))
    automaton = compile_tree(parse_regex(pattern))
    classes = token_classes(vocabulary.trie, automaton, vocabulary.size)
    maps = [
        dict(zip(classes.source[lo:hi].tolist(), classes.target[lo:hi].tolist(), strict=True))
        for lo, hi in itertools.pairwise(classes.at)
    ]
    for token in np.random.default_rng(0).choice(vocabulary.size, 15_000, replace=False).tolist():
        data = vocabulary.table.token_bytes[token]
        walked = {s: automaton.walk(data, s) for s in range(automaton.states)} if data else {}
        assert maps[classes.class_of[token]] == {s: t for s, t in walked.items() if t >= 0}, data


def test_limit_on_edges() -> None:
    vocabulary = tiny_vocabulary("a b ab ba")
    automaton = compile_tree(Repeat(ByteSet.of(b"ab"), 400, 400))
    with pytest.raises(CompileLimit, match="10 edges"):
        token_classes(vocabulary.trie, automaton, vocabulary.size, Limits(edges=10))


@pytest.mark.parametrize("tree", LANGUAGES)
def test_edges_equal_their_definition(tree) -> None:
    """Without the canonical skeleton a token leads where its bytes lead, as long as acceptance can follow."""
    vocabulary = tiny_vocabulary(
        [b"a", b"b", b"ab", b'"', b'{"', b'":"', b'"}', b"\xc3", b"\xa9", b"{", b":", b"}", b"\\"]
    )
    automaton = build_token_automaton(compile_tree(tree), vocabulary, canonical=False)
    number = {byte_state: s for s, byte_state in enumerate(automaton.byte_state.tolist())}
    for s, byte_state in enumerate(automaton.byte_state.tolist()):
        targets = automaton.edge_to[automaton.edge_at[s] : automaton.edge_at[s + 1]].tolist()
        assert targets == sorted(set(targets))
        for token, data in enumerate(vocabulary.table.token_bytes):
            expected = number.get(automaton.bytes.walk(data, byte_state), -1) if data else -1
            assert automaton.step(s, token) == expected, (s, data)
