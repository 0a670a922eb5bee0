"""What a service allows."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Settings:
    """Bounds of one service process; what cannot be one is a `ValueError`.

    ``max_batch`` rows share a denoising step and ``max_queue`` more may wait. ``max_step`` bounds what a step of one
    row costs: edges of its automaton times positions of a canvas. A request's header comes within ``header_seconds``;
    its body has at most ``max_body`` bytes, which come within ``body_seconds``; its answer takes at most ``deadline``
    seconds. ``max_connections`` are open at a time, ``max_of_address`` of one address.

    The data URL of an image has at most ``max_image`` characters, and the images of a request together have at most
    ``max_pixels`` pixels.

    ``compile_processes`` compile at a time, each within ``compile_seconds`` and ``compile_memory`` bytes;
    ``compile_queue`` more constraints may wait.

    With ``api_keys`` every request but health needs one. ``origins`` are the web origins that may call the service from
    a browser; none by default. ``hosts`` are the names by which it may be called; any by default.

    >>> Settings(max_batch=8).max_queue
    64
    >>> Settings(deadline=0)
    Traceback (most recent call last):
    ValueError: deadline is 0; it must be a positive number
    """

    max_batch: int = 16
    max_queue: int = 64
    max_step: int = 50_000_000
    max_body: int = 1 << 20
    max_image: int = 8 << 20
    max_pixels: int = 16_000_000
    max_choices: int = 16
    max_connections: int = 1000
    max_of_address: int = 200
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    deadline: float = 300.0
    compile_seconds: float = 10.0
    compile_processes: int = 1
    compile_queue: int = 32
    compile_memory: int = 2 << 30
    api_keys: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in ("max_queue", "compile_queue") else None
            if isinstance(value, int | float) and not (math.isfinite(value) and (value > 0 or value == least)):
                raise ValueError(f"{field.name} is {value}; it must be a positive number")


def keys_of_environment() -> tuple[str, ...]:
    """The API keys of STRUCTDIFF_API_KEYS, separated by commas; empty where it is not set."""
    return tuple(key.strip() for key in os.environ.get("STRUCTDIFF_API_KEYS", "").split(",") if key.strip())
