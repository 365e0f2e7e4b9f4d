"""Pictures and sounds as arrays: PNG and JPEG (with Pillow, of the extra `media`), WAV of whole numbers."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nncore.errors import Fault, InvalidData

MAX_PIXELS = 50_000_000
_MODES = {"1": "L", "L": "L", "RGB": "RGB", "RGBA": "RGBA", "P": "RGB", "LA": "LA"}


@dataclass(frozen=True, eq=False)
class Medium:
    """One of them. values: float32, of an item's shape. describes: what it must have in common with the others."""

    values: np.ndarray
    describes: dict[str, Any]


class Unreadable(Exception):
    """The bytes are no picture, or no sound, that can be read; the message says why."""


def medium_of(kind: str) -> Callable[[bytes], Medium]:
    """What reads a `picture`, or a `sound`. Raises InvalidData where pictures cannot be read for want of Pillow."""
    if kind == "sound":
        return read_sound
    try:
        import PIL  # noqa: F401
    except ImportError:
        message = "pictures are read by Pillow, which is not installed here; install the extra: pip install 'sankofa[media]'"
        raise InvalidData(Fault("", "needs_extra", message, "the extra media")) from None
    return read_picture


def read_picture(data: bytes) -> Medium:
    """The picture, (channels, height, width), each 0 to 255. Raises Unreadable."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise Unreadable(f"expected at most {MAX_PIXELS:,} pixels, got {width:,} x {height:,}")
            mode = _MODES.get(picture.mode)
            if mode is None:
                raise Unreadable(f"expected grey or RGB of 8 bits, with or without transparency, got the mode {picture.mode}")
            values = np.asarray(picture.convert(mode), dtype=np.float32)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable("expected a whole PNG or JPEG picture, got something else or a damaged one") from None
    shape = values.reshape(height, width, -1).transpose(2, 0, 1)
    return Medium(np.ascontiguousarray(shape), {"width": width, "height": height, "channels": len(shape)})


def read_sound(data: bytes) -> Medium:
    """The sound, (samples,), or (channels, samples) of several, from -1 to below 1. Raises Unreadable."""
    try:
        with wave.open(io.BytesIO(data)) as sound:
            channels, width, rate = sound.getnchannels(), sound.getsampwidth(), sound.getframerate()
            raw = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError, ValueError, OverflowError, MemoryError, RuntimeError) as error:
        raise Unreadable(
            f"expected a WAV file of whole numbers (PCM), got another or a damaged one ({error or 'it ends too early'})"
        ) from None
    if width not in (1, 2, 3, 4) or not 1 <= channels <= 64 or not raw:
        raise Unreadable(f"expected samples of 8, 16, 24 or 32 bits, got {len(raw)} bytes of samples of {8 * width} bits")
    raw = raw[: len(raw) // (width * channels) * (width * channels)]
    if width == 1:
        samples = np.frombuffer(raw, np.uint8).astype(np.float32) - 128
    elif width == 3:  # the three bytes are the upper ones of four
        padded = np.zeros((len(raw) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        samples = (padded.view("<i4")[:, 0] >> 8).astype(np.float32)
    else:
        samples = np.frombuffer(raw, f"<i{width}").astype(np.float32)
    values = (samples / np.float32(2 ** (8 * width - 1))).reshape(-1, channels)
    shaped = values[:, 0] if channels == 1 else values.T
    return Medium(np.ascontiguousarray(shaped), {"samples": len(values), "sample_rate": rate, "channels": channels})
