"""What transformers calls an argument depends on its version."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def cache_keyword(forward: Callable[..., Any]) -> str:
    """The name under which a network takes its KV cache: ``cache``, or ``past_key_values`` before transformers 5.24.

    >>> cache_keyword(lambda input_ids, past_key_values=None: None)
    'past_key_values'
    """
    return "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"
