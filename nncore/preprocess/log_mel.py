"""The logarithm of a sound's energy in `mels` bands, frame by frame: what a network hears best.

Items are samples, of shape (samples,). Frame f is the `window` samples from f * hop on (only whole frames: nothing is padded), times a
periodic Hann window; its power spectrum |rfft|^2, window // 2 + 1 bins, is summed by triangles into bands whose edges lie evenly on the
mel scale from `lowest_hertz` to `highest_hertz`; features are ln(max(energy, floor)). Items come out as (frames, mels), time first, as
recurrent layers read them, or with channels_first as (mels, frames), for conv1d.

    htk     mel = 2595 log10(1 + hertz / 700); triangles of height 1 (torchaudio's default)
    slaney  linear below 1,000 Hz (200/3 Hz a mel), logarithmic above (27 mels for a factor of 6.4); triangles of area 1 per hertz
            (librosa's default)

Computed in float64 and rounded to float32.

    {"type": "log_mel", "columns": ["sound"], "sample_rate": 16000, "window": 400, "hop": 160, "mels": 40}

Sources: Davis and Mermelstein, 1980; Young et al., The HTK Book; Slaney, Auditory Toolbox, 1998.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import exp, log, log10
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from nncore.definition import Definition, shown
from nncore.faults import counted
from nncore.preprocess.step import FittedMaker, Item, Make, Maker

_NUMBERS_AT_ONCE = 2**18
MelScale = Literal["htk", "slaney"]
MostSamples = Annotated[int, Field(ge=1, le=2**31)]


class Bands(Definition):
    """How frames are cut and bands are laid."""

    sample_rate: Annotated[float, Field(gt=0, le=1e9, description="Samples a second.")]
    window: Annotated[int, Field(ge=2, le=2**15, description="Samples of a frame.")] = 400
    hop: Annotated[int, Field(ge=1, le=2**31, description="Samples from the start of a frame to that of the next.")] = 160
    mels: Annotated[int, Field(ge=1, le=512, description="Bands.")] = 40
    lowest_hertz: Annotated[float, Field(ge=0, le=1e9, description="Where the lowest band begins.")] = 0.0
    highest_hertz: Annotated[float | None, Field(gt=0, le=1e9, description="Default: half the sample rate.")] = None
    floor: Annotated[float, Field(gt=0, le=1e30, description="Less energy counts as so much.")] = 1e-10
    mel_scale: Annotated[MelScale, Field(description="How bands lie: htk (torchaudio's default) or slaney (librosa's).")] = "htk"
    channels_first: Annotated[bool, Field(description="Items of shape (mels, frames) rather than (frames, mels).")] = False

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        if not self.lowest_hertz < self.top <= self.sample_rate / 2:
            raise PydanticCustomError(
                "bands_out_of_range",
                "expected lowest_hertz < highest_hertz <= half the sample rate, {half} Hz, got {low} and {high} Hz",
                {"half": f"{self.sample_rate / 2:g}", "low": f"{self.lowest_hertz:g}", "high": f"{self.top:g}"},
            )
        return self

    @property
    def top(self) -> float:
        return self.sample_rate / 2 if self.highest_hertz is None else self.highest_hertz

    def shape_of(self, samples: int) -> tuple[int, int]:
        """What becomes of so many samples."""
        frames = 1 + (samples - self.window) // self.hop
        return (self.mels, frames) if self.channels_first else (frames, self.mels)

    def filters(self) -> np.ndarray:
        """(bins, mels) float64: the weight of each bin of the power spectrum in each band."""
        to_mel, to_hertz = _SCALES[self.mel_scale]
        edges = np.array([to_hertz(mel) for mel in np.linspace(to_mel(self.lowest_hertz), to_mel(self.top), self.mels + 2)])
        hertz = np.arange(self.window // 2 + 1) * (self.sample_rate / self.window)
        width = np.diff(edges)
        rising = (hertz[:, None] - edges[:-2]) / width[:-1]
        falling = (edges[2:] - hertz[:, None]) / width[1:]
        triangles = np.maximum(0.0, np.minimum(rising, falling))
        return np.asarray(triangles * (2.0 / (edges[2:] - edges[:-2])) if self.mel_scale == "slaney" else triangles)


def _slaney_mel(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * log(hertz / 1000) / log(6.4)


def _slaney_hertz(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * exp((mel - 15) * log(6.4) / 27)


def _htk_mel(hertz: float) -> float:
    return 2595 * log10(1 + hertz / 700)


def _htk_hertz(mel: float) -> float:
    return 700 * (exp(mel * log(10) / 2595) - 1)


_Scale = Callable[[float], float]
_SCALES: dict[MelScale, tuple[_Scale, _Scale]] = {"htk": (_htk_mel, _htk_hertz), "slaney": (_slaney_mel, _slaney_hertz)}


class LogMel(Bands, Maker):
    """Makes a picture of time and pitch of a sound."""

    model_config = shown(type="log_mel", columns=["sound"], sample_rate=16000, window=400, hop=160, mels=40)

    type: Literal["log_mel"] = "log_mel"

    def unfit(self, item: Item) -> str | None:
        if item.is_text or len(item.shape) != 1:
            return "it works on sounds: items of shape [samples]"
        if item.shape[0] < self.window:
            return f"a window is of {self.window:,} samples, and an item only of {counted(item.shape[0], 'sample')}; take a shorter window"
        return None

    def item_after(self, item: Item) -> Item:
        return Item(self.shape_of(item.shape[0]))

    def fit(self, item: Item, texts: tuple[str, ...] | None, training: Iterator[np.ndarray]) -> Any:
        return {"samples": item.shape[0]}

    def fitted(self, columns: Mapping[str, Any]) -> FittedLogMel:
        return FittedLogMel.model_validate(self.model_dump() | {"columns": columns})


class Samples(Definition):
    """How long the items of a column are."""

    samples: MostSamples


class FittedLogMel(Bands, FittedMaker):
    """The same as the step: nothing is fitted."""

    type: Literal["log_mel"]
    columns: dict[str, Samples]

    def make(self, name: str, texts: tuple[str, ...] | None) -> Make:
        filters, size = self.filters(), self.window
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        at_once = max(1, _NUMBERS_AT_ONCE // size)

        def made(values: np.ndarray) -> np.ndarray:
            frames = np.lib.stride_tricks.sliding_window_view(values, size, axis=1)[:, :: self.hop]
            energies = np.empty((*frames.shape[:2], self.mels), np.float32)
            for sound, rows in zip(energies, frames, strict=True):
                for first in range(0, len(rows), at_once):
                    power = np.abs(np.fft.rfft(rows[first : first + at_once] * window)) ** 2
                    sound[first : first + at_once] = np.log(np.maximum(power @ filters, self.floor))
            return (energies.transpose(0, 2, 1) if self.channels_first else energies).reshape(len(values), -1)

        return made

    def shape_after(self, name: str, shape: tuple[int, ...] | None) -> tuple[int, ...]:
        samples = self.columns[name].samples
        if shape != (samples,) or samples < self.window:
            raise ValueError(f"the fitted log_mel of column {name!r} is of {samples} samples, in windows of {self.window}")
        return self.shape_of(samples)
