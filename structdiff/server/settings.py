"""What a service allows."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Bounds of one service process.

    ``max_batch`` rows share a denoising step and ``max_queue`` more may wait; a request's body has at most
    ``max_body`` bytes, which come within ``body_seconds``, and its answer takes at most ``deadline`` seconds. A schema
    may compile for ``compile_seconds`` on one of ``compile_threads``. With ``api_keys`` every request but health needs
    one. ``origins`` are the web origins that may call the service from a browser; none by default.

    >>> Settings(max_batch=8).max_queue
    64
    """

    max_batch: int = 16
    max_queue: int = 64
    max_body: int = 1 << 20
    max_choices: int = 16
    body_seconds: float = 30.0
    deadline: float = 300.0
    compile_seconds: float = 10.0
    compile_threads: int = 1
    api_keys: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


def keys_of_environment() -> tuple[str, ...]:
    """The API keys of STRUCTDIFF_API_KEYS, separated by commas; empty where it is not set."""
    return tuple(key.strip() for key in os.environ.get("STRUCTDIFF_API_KEYS", "").split(",") if key.strip())
