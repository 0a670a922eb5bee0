"""How a command gets its model: what is checked before anything is loaded, and what a first run says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ._shared import MACHINE, Asked, Failure

SMALL = 4 << 20
"""Bytes of a tokenizer.json that is read in no time; a budget is checked beforehand with such a one."""


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--model``, ``--device`` and ``--dtype``; `load_model` takes what they give."""
    return click.option(
        "--model",
        "model_name",
        metavar="M",
        help="qwen-0.5b, qwen, smollm2, tiny, a folder or a hub id.  [default: qwen-0.5b if installed]",
    )(device_options(command))


def device_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--device`` and ``--dtype``."""
    for option in (
        click.option("--dtype", metavar="TYPE", help="Number type of the weights, such as bfloat16 or float32."),
        click.option("--device", metavar="DEVICE", help="Where the model runs, such as cpu or cuda."),
    ):
        command = option(command)
    return command


def check(asked: Asked | None, model: str | None, device: str | None, dtype: str | None, budget: int | None) -> None:
    """Find what can be found wrong before a model is loaded: the device, the model's name, the schema, the budget."""
    from structdiff.place import check_device, check_dtype, check_model

    check_device(device)
    check_dtype(dtype)
    check_model(model)
    if asked is not None:
        _check_constraint(asked, model, budget)


def _check_constraint(asked: Asked, model: str | None, budget: int | None) -> None:
    import structdiff
    from structdiff.core.errors import BudgetTooSmall
    from structdiff.core.limits import Limits, enforced
    from structdiff.frontends import read_source
    from structdiff.place import EMBEDDED, NAMES, chosen_model

    options = {name: value for name, value in asked.options.items() if name != "strict"}
    source = read_source(asked.source, **options)
    if not kernels_compiled():
        ready_kernels()  # before the clock of the limits starts
    limits = Limits()
    with enforced(limits):
        source.build(limits)
    name, _ = chosen_model(model)
    tokenizer = (EMBEDDED if name in NAMES else Path(name)) / "tokenizer.json"
    if tokenizer.is_file() and tokenizer.stat().st_size <= SMALL:
        ready_kernels()
        constraint = structdiff.compile(asked.source, tokenizer.parent, **asked.options)
        if budget is not None and budget < constraint.min_tokens:
            raise BudgetTooSmall(constraint.min_tokens, budget)


def load_model(model: str | None, device: str | None, dtype: str | None) -> Any:
    """The model ``model`` (see `structdiff.load`), or the default one."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    import structdiff

    ready_kernels()
    loaded = structdiff.load(model, device=device, dtype=dtype)
    if hasattr(loaded.denoiser, "denoise"):
        ready_kernels(denoising=True)
    return loaded


def ready_kernels(denoising: bool = False) -> None:
    """Load the compiled kernels; on the very first use of an installation compile them, and say so.

    ``denoising``: say so of those too that only models need which denoise; their first answer compiles them.
    """
    from structdiff.constraint.compile import load_kernels

    if not kernels_compiled(denoising):
        click.echo("first use: compiling kernels, up to a minute (later starts find them compiled)", err=True)
    load_kernels()


def kernels_compiled(denoising: bool = False) -> bool:
    """Whether Numba's cache on disk holds the kernels of an earlier run: those of constraints, and where it is asked
    for those of ``denoising``."""
    from structdiff.automata import kernels as automata
    from structdiff.lattice import kernels as lattice

    wanted = [(automata.product, "product"), *([(lattice.forward, "forward")] if denoising else [])]
    return all(
        any(Path(getattr(kernel, "_cache").cache_path).glob(f"kernels.{name}-*.nbi"))  # noqa: B009 (no such name typed)
        for kernel, name in wanted
    )


def check_writable(name: str) -> None:
    """Raises `Failure` where no file can be written under a name, before any time is spent."""
    path = Path(name)
    folder = path.parent
    if not folder.is_dir():
        raise Failure(f"{name} cannot be written: there is no folder {folder}", MACHINE)
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise Failure(
            f"{name} cannot be written: {'it is a folder' if path.is_dir() else 'permission denied'}", MACHINE
        )
