"""Tokenizer -> the bytes of every token.

Three families have an exact token-to-bytes reading: byte-level BPE (the GPT-2 alphabet), BPE with byte fallback (Gemma:
``▁`` is a blank, ``<0x0A>`` a byte) and SentencePiece unigram. Everything else is refused by name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from structdiff.core.errors import UnsupportedTokenizer

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_CONTROL = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")


@dataclass(frozen=True)
class TokenTable:
    """What the vocabulary needs of a tokenizer.

    ``token_bytes[i]`` are the bytes of id ``i``, or None where the id is never text (special and control tokens,
    holes); ``end_ids`` end a sequence; ``encode`` gives a text's own ids without special tokens; ``fingerprint`` names
    the table.
    """

    token_bytes: list[bytes | None]
    end_ids: tuple[int, ...]
    encode: Callable[[str], list[int]]
    fingerprint: str


def gpt2_alphabet() -> dict[str, int]:
    """The printable stand-in of each byte in byte-level BPE (Radford et al., GPT-2).

    >>> gpt2_alphabet()["Ġ"], gpt2_alphabet()["A"]
    (32, 65)
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


def read_tokenizer(tokenizer: Any, end_ids: tuple[int, ...] | None = None, size: int | None = None) -> TokenTable:
    """The token table of a folder with ``tokenizer.json``, a `tokenizers.Tokenizer` or a transformers fast tokenizer.

    Without ``end_ids`` the end tokens are those the folder's ``generation_config.json`` or the tokenizer name.
    Raises `UnsupportedTokenizer` for slow tokenizers, WordPiece, WordLevel and unknown decoders.
    """
    raw, text, found = _open(tokenizer)
    data = json.loads(text)
    to_bytes = _reader(data)
    by_id = {i: piece for piece, i in _vocabulary(data)}
    byte_level = "ByteLevel" in {step["type"] for step in _decoders(data.get("decoder"))}
    added_bytes = str.encode if byte_level else to_bytes  # added tokens stand outside the byte-level alphabet
    control = {}
    for added in data.get("added_tokens", []):
        by_id[added["id"]] = added["content"]
        is_text = not added["special"] and not _CONTROL.fullmatch(added["content"])
        control[added["id"]] = added_bytes(added["content"]) if is_text else None
    unknown = data["model"].get("unk_token") or by_id.get(data["model"].get("unk_id"))
    table: list[bytes | None] = [None] * (max(by_id) + 1)
    for i, piece in by_id.items():
        table[i] = control[i] if i in control else None if piece == unknown else to_bytes(piece)
    special = {added["id"]: added["content"] for added in data.get("added_tokens", []) if added["special"]}
    ends = end_ids if end_ids is not None else found or _named_ends(special)
    size = size or len(table)
    table = (table + [None] * size)[:size]
    ends = tuple(i for i in ends if i < size)
    for i in ends:
        table[i] = None
    digest = hashlib.sha256(repr((sorted(ends), size)).encode())
    digest.update(b"".join(b"-" if data is None else b"%d:%b" % (len(data), data) for data in table))
    return TokenTable(
        table, tuple(sorted(ends)), lambda s: raw.encode(s, add_special_tokens=False).ids, digest.hexdigest()[:32]
    )


def _open(tokenizer: Any) -> tuple[Any, str, tuple[int, ...]]:
    """(tokenizers.Tokenizer, its JSON text, end ids that the source itself declares)."""
    from tokenizers import Tokenizer

    if isinstance(tokenizer, str | Path):
        folder = Path(tokenizer)
        path = folder / "tokenizer.json" if folder.is_dir() else folder
        if not path.is_file():
            raise UnsupportedTokenizer(f"{path}: no such file; a fast tokenizer's tokenizer.json is needed")
        text = path.read_text(encoding="utf-8")
        return Tokenizer.from_str(text), text, _declared_ends(path.parent)
    if isinstance(tokenizer, Tokenizer):
        return tokenizer, tokenizer.to_str(), ()
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UnsupportedTokenizer(
            f"{type(tokenizer).__name__} is not a fast tokenizer; pass a transformers fast tokenizer, a "
            "tokenizers.Tokenizer or a folder with tokenizer.json"
        )
    own = tokenizer.eos_token_id
    return backend, backend.to_str(), () if own is None else (int(own),)


def _declared_ends(folder: Path) -> tuple[int, ...]:
    path = folder / "generation_config.json"
    if path.is_file():
        ends = json.loads(path.read_text()).get("eos_token_id")
        if ends is not None:
            return tuple(ends) if isinstance(ends, list) else (ends,)
    return ()


def _named_ends(special: dict[int, str]) -> tuple[int, ...]:
    names = {"<eos>", "</s>", "<|endoftext|>", "<end_of_turn>", "<turn|>", "<|im_end|>", "<|eot_id|>"}
    ends = tuple(i for i, piece in special.items() if piece in names)
    if not ends:
        raise UnsupportedTokenizer("the tokenizer names no end-of-sequence token; pass end_ids=(...)")
    return ends


def _vocabulary(data: dict[str, Any]) -> list[tuple[str, int]]:
    vocab = data["model"]["vocab"]
    if isinstance(vocab, dict):
        return list(vocab.items())
    return [(piece, i) for i, (piece, _score) in enumerate(vocab)]


def _reader(data: dict[str, Any]) -> Callable[[str], bytes]:
    kind = data["model"].get("type") or ("WordPiece" if "max_input_chars_per_word" in data["model"] else "unknown")
    if kind not in ("BPE", "Unigram"):
        raise UnsupportedTokenizer(
            f"{kind} tokenizers are not supported: their tokens do not spell bytes exactly; use a BPE or unigram one"
        )
    steps = _decoders(data.get("decoder"))
    names = {step["type"] for step in steps}
    if "ByteLevel" in names:
        alphabet = gpt2_alphabet()

        def byte_level(piece: str) -> bytes:
            try:
                return bytes(alphabet[c] for c in piece)
            except KeyError:
                raise UnsupportedTokenizer(f"token {piece!r} is not spelled in the byte-level alphabet") from None

        return byte_level
    blanks = [step["pattern"]["String"] for step in steps if step["type"] == "Replace" and step.get("content") == " "]
    blanks += [step.get("replacement", "▁") for step in steps if step["type"] == "Metaspace"]
    unknown = names - {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"}
    if not blanks or unknown:
        raise UnsupportedTokenizer(
            f"a {kind} tokenizer with decoder {sorted(names) or 'none'} is not supported; byte-level BPE, "
            "byte-fallback BPE and SentencePiece unigram are"
        )

    def pieces(piece: str) -> bytes:
        byte = _BYTE_TOKEN.fullmatch(piece)
        if byte:
            return bytes([int(byte[1], 16)])
        for blank in blanks:
            piece = piece.replace(blank, " ")
        return piece.encode("utf-8", "surrogatepass")

    return pieces


def _decoders(decoder: dict[str, Any] | None) -> list[dict[str, Any]]:
    if decoder is None:
        return []
    return decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]
