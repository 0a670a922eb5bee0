"""Images of a request: only what it brings itself, as data URLs, within bounds."""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import TYPE_CHECKING

from structdiff.core.errors import GenerationError
from structdiff.core.images import opened
from structdiff.model import Model
from structdiff.server.api import ImagePart, Message
from structdiff.server.errors import ApiError
from structdiff.server.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

KINDS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "GIF"}
"""The media types that are read, and what Pillow calls them."""
_HEAD = re.compile(r"data:([a-z0-9.+-]+/[a-z0-9.+-]+);base64,", re.IGNORECASE)


def images_of(model: Model, messages: list[Message], settings: Settings) -> list[list[Image]]:
    """The images of every message. Raises `ApiError` that names the part of the request."""
    found: list[list[Image]] = []
    left = settings.max_pixels
    for at, message in enumerate(messages):
        found.append([])
        for place, part in enumerate(message.content if isinstance(message.content, list) else []):
            if not isinstance(part, ImagePart):
                continue
            where = f"messages.{at}.content.{place}"
            try:
                if message.role != "user":
                    raise GenerationError("only messages of the role 'user' show images")
                model.require_pictures()
                image = image_of(part.image_url.url, settings.max_image, left)
            except GenerationError as error:
                raise ApiError(400, f"{where}: {error}", param=where) from None
            left -= image.width * image.height
            found[-1].append(image)
    return found


def image_of(url: str, most_characters: int, most_pixels: int) -> Image:
    """The image of a data URL. Raises `GenerationError`.

    >>> image_of("https://example.org/a.png", 1000, 1000)
    Traceback (most recent call last):
    structdiff.core.errors.GenerationError: an image is a data URL (data:image/png;base64,...); nothing is fetched
    """
    head = _HEAD.match(url[:200])
    if head is None:
        raise GenerationError("an image is a data URL (data:image/png;base64,...); nothing is fetched")
    if (kind := KINDS.get(head[1].lower())) is None:
        raise GenerationError(f"images of the type {head[1]} are not read; those of {', '.join(KINDS)} are")
    if len(url) > most_characters:
        raise GenerationError(f"the data URL has {len(url)} characters and at most {most_characters} are read")
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise GenerationError(f"the data URL is not base64: {error}") from None
    return opened(io.BytesIO(data), (kind,), most_pixels)
