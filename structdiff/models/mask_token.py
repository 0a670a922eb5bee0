"""The token that stands for what is not written yet, kept out of what a constraint may write."""

from __future__ import annotations

from typing import Any


def hide_mask(tokenizer: Any, mask: int) -> None:
    """Let the tokenizer take its token ``mask`` for a special one: no constraint writes it."""
    if tokenizer.mask_token_id != mask and mask in tokenizer.get_vocab().values():
        tokenizer.add_special_tokens({"mask_token": tokenizer.convert_ids_to_tokens(mask)})
