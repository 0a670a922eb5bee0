"""Images in a prompt: the tokens that stand for one, and what the network is given beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from structdiff.core.errors import GenerationError
from structdiff.tokens.plain import PlainText

FILES = ("preprocessor_config.json", "processor_config.json")
"""Where a checkpoint says how its images are prepared."""


@dataclass(frozen=True)
class Picture:
    """An image as a network takes it: arguments by name, and how many positions of the prompt it has."""

    inputs: Mapping[str, torch.Tensor]
    positions: int


class Pictured(list[int]):
    """The token ids of a prompt in which ``pictures`` are shown, in their order.

    >>> prompt = Pictured([2, 7, 7], [Picture({}, 2)])
    >>> len(prompt), prompt.pictures[0].positions
    (3, 2)
    """

    def __init__(self, ids: Sequence[int], pictures: Sequence[Picture]) -> None:
        super().__init__(ids)
        self.pictures = list(pictures)

    def inputs(self, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """The arguments of all pictures together."""
        names = self.pictures[0].inputs
        joined = {name: torch.cat([one.inputs[name] for one in self.pictures]).to(device) for name in names}
        return {name: value.to(dtype) if value.is_floating_point() else value for name, value in joined.items()}


class Pictures:
    """Reads images for a DiffusionGemma: ``processor`` is transformers' image processor of the checkpoint, the three
    ids begin an image, stand for a position of it and end it."""

    def __init__(self, processor: Any, begin: int, position: int, end: int) -> None:
        self.processor, self.begin, self.position, self.end = processor, begin, position, end

    @classmethod
    def of(cls, checkpoint: str, config: Any) -> Pictures | None:
        """Those of a checkpoint, a folder or hub id; None where it does not say how images are prepared."""
        folder = Path(checkpoint)
        if folder.is_dir() and not any((folder / name).is_file() for name in FILES):
            return None
        from transformers import AutoImageProcessor

        load: Any = AutoImageProcessor.from_pretrained
        try:
            processor = load(checkpoint)
        except (OSError, ImportError):  # not in the repository, or Pillow is not installed
            return None
        return cls(processor, config.boi_token_id, config.image_token_id, config.eoi_token_id)

    def read(self, image: Any) -> Picture:
        """An image of Pillow, prepared."""
        try:
            prepared = self.processor(images=[image], return_tensors="pt")
        except ValueError as error:
            raise GenerationError(f"the image cannot be prepared: {error}") from error
        positions = int(prepared["num_soft_tokens_per_image"][0])
        return Picture({name: prepared[name] for name in ("pixel_values", "image_position_ids")}, positions)

    def chat(self, plain: PlainText, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Pictured:
        """The prompt of a conversation; a message shows its ``images`` before its content."""
        said = [
            {key: value for key, value in message.items() if key != "images"}
            | {"content": [{"type": "image"}] * len(message.get("images", ())) + _text(message["content"])}
            for message in messages
        ]
        pictures = [self.read(image) for message in messages for image in message.get("images", ())]
        ids: list[int] = []
        left = list(pictures)
        for token in plain.chat(said, **options):
            if token == self.position and left:
                ids += [self.begin, *[self.position] * left.pop(0).positions, self.end]
            else:
                ids.append(token)
        if left:
            raise GenerationError("the model's chat template writes no place for an image")
        return Pictured(ids, pictures)


def _text(content: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": content}] if content else []
