"""Images: which values are one, and opening it as RGB, upright and within bounds. Needs Pillow, where there is one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from structdiff.core.errors import GenerationError

if TYPE_CHECKING:
    from PIL.Image import Image

Text: TypeAlias = "str | Path | Image"
"""What a model reads: a text, or an image as the path of its file or as Pillow has it."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""The endings of files that are images."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS = 50_000_000
"""Pixels of the largest image that is opened."""


def is_image(value: Any) -> bool:
    """Is this an image of Pillow, or a path that ends like the file of one?

    >>> is_image(Path("receipt.PNG")), is_image(Path("receipt.txt")), is_image("receipt.png")
    (True, False, False)
    """
    if isinstance(value, Path):
        return value.suffix.lower() in SUFFIXES
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def opened(image: Any, formats: tuple[str, ...] = FORMATS, most_pixels: int = MOST_PIXELS) -> Image:
    """The image of a path, an open file or one of Pillow, as RGB and upright.

    Raises `GenerationError` for what is none, is broken, or has more pixels.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise GenerationError("images need Pillow; install it with: pip install 'structdiff[images]'") from None
    what = str(image) if isinstance(image, Path) else "the image"
    try:
        found = image if isinstance(image, Image.Image) else Image.open(image, formats=formats)
        if found.width * found.height > most_pixels:
            size = f"{found.width} x {found.height}"
            raise GenerationError(f"{what} has {size} pixels; at most {most_pixels} are read, so make it smaller")
        return ImageOps.exif_transpose(found).convert("RGB")
    except FileNotFoundError:
        raise GenerationError(f"{what}: no such file") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise GenerationError(f"{what} cannot be read as an image of {', '.join(formats)}: {error}") from None
