from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from nncore.preprocess import LogMel

RATE = 8000
SOUNDS = {"sound": (np.random.default_rng(0).normal(size=(5, 1000)) * [[1], [1e-3], [1], [30], [0]]).round(6).tolist()}


def log_mel(**fields: Any) -> dict[str, Any]:
    return {"type": "log_mel", "sample_rate": RATE, "window": 200, "hop": 80, "mels": 12, **fields}


def expected_by_scipy(sounds: np.ndarray, scale: str, low: float, high: float, window: int = 200, hop: int = 80, mels: int = 12) -> Any:
    """From the definitions alone, by other means: scipy's spectrogram, and triangles interpolated between their corners."""
    from scipy.signal import spectrogram

    hertz, _, power = spectrogram(
        sounds, RATE, window="hann", nperseg=window, noverlap=window - hop, detrend=False, mode="complex", scaling="spectrum"
    )
    power = np.abs(power * window / 2) ** 2  # "spectrum" divides by the window's sum, which is half its length
    if scale == "htk":
        mel_of, hertz_of = (lambda f: 1127.010480 * np.log(1 + f / 700)), (lambda m: 700 * (np.exp(m / 1127.010480) - 1))
    else:
        corners = np.concatenate([[0, 1000], 1000 * 6.4 ** (np.arange(1, 200) / 27)])
        marks = np.concatenate([[0, 15], 15 + np.arange(1, 200)])
        mel_of = lambda f: np.interp(f, corners[:2], marks[:2]) if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)  # noqa: E731
        hertz_of = lambda m: np.where(m < 15, m * 1000 / 15, 1000 * 6.4 ** ((m - 15) / 27))  # noqa: E731
    edges = hertz_of(np.linspace(mel_of(low), mel_of(high), mels + 2))
    bands = np.stack([np.interp(hertz, edges[at : at + 3], [0, 1, 0], 0, 0) for at in range(mels)])
    if scale == "slaney":
        bands *= 2 / (edges[2:] - edges[:-2])[:, None]
    return np.log(np.maximum(np.einsum("mh,nhf->nfm", bands, power), 1e-10))


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize(("low", "high"), [(0.0, 4000.0), (100.0, 3000.0)])
def test_it_is_the_logarithm_of_energy_in_bands_as_computed_by_other_means(scale: str, low: float, high: float, preprocessed: Any) -> None:
    step = log_mel(mel_scale=scale, lowest_hertz=low, highest_hertz=high)
    found = preprocessed(SOUNDS, step, network=[{"type": "lstm", "units": 2}, {"type": "dense", "units": 1}])
    assert found.inputs.shape == (5, 11, 12)
    expected = expected_by_scipy(np.array(SOUNDS["sound"]), scale, low, high)
    np.testing.assert_allclose(found.inputs, expected, rtol=2e-7, atol=2e-6)


@pytest.mark.oracle
def test_the_filters_are_those_that_torchaudio_and_librosa_document() -> None:
    """Facts of their documentation: HTK's 1000 Hz is 1000 mel (to a thousandth); Slaney's 1000 Hz is 15 mel; areas of 1."""
    htk = LogMel(sample_rate=16000, window=512, mels=40).filters()
    assert htk.shape == (257, 40)
    assert 0.8 < htk.max() <= 1
    slaney = LogMel(sample_rate=16000, window=4096, mels=40, mel_scale="slaney").filters()
    np.testing.assert_allclose(slaney.sum(axis=0) * 16000 / 4096, 1, rtol=0.02)


def test_a_tone_sounds_in_its_band_alone(preprocessed: Any) -> None:
    """Theory: a pure tone has its energy where its mel lies."""
    time = np.arange(4000) / RATE
    tones = {"sound": [np.sin(2 * np.pi * hertz * time).round(6).tolist() for hertz in (300, 1000, 2500)]}
    found = preprocessed(tones, log_mel(mels=20), network=[{"type": "lstm", "units": 2}, {"type": "dense", "units": 1}]).inputs
    centres = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 22)[1:-1] / 2595) - 1)
    for hertz, energies in zip((300, 1000, 2500), found, strict=True):
        assert set(energies.argmax(axis=1)) == {int(np.abs(centres - hertz).argmin())}


def test_silence_is_the_floor(preprocessed: Any) -> None:
    found = preprocessed({"sound": [[0.0] * 500, [1e-9] * 500]}, log_mel(floor=1e-6))
    np.testing.assert_allclose(found.inputs, np.float32(np.log(1e-6)))


def test_channels_may_come_first_as_convolutions_want_them(preprocessed: Any) -> None:
    convolution = [{"type": "conv1d", "filters": 2, "kernel_size": 3}, {"type": "flatten"}, {"type": "dense", "units": 1}]
    last = preprocessed(SOUNDS, log_mel(), network=[{"type": "lstm", "units": 2}, {"type": "dense", "units": 1}]).inputs
    first = preprocessed(SOUNDS, log_mel(channels_first=True), network=convolution).inputs
    assert np.array_equal(first, last.transpose(0, 2, 1))


def test_what_it_makes_can_be_standardized(preprocessed: Any) -> None:
    found = preprocessed(SOUNDS, {"type": "image_scale", "scale": 2.0}, log_mel(), {"type": "standardize"}, validation={"fraction": 0.4})
    training = found.inputs[found.data.training_rows]
    np.testing.assert_allclose(training.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(training.std(axis=0)[training.std(axis=0) > 0], 1, rtol=1e-9)


def test_bands_beyond_what_the_samples_can_hold_are_refused() -> None:
    for fields in ({"highest_hertz": 5000.0}, {"lowest_hertz": 4000.0}, {"lowest_hertz": 3000.0, "highest_hertz": 2000.0}):
        with pytest.raises(ValidationError, match="expected lowest_hertz < highest_hertz <= half the sample rate"):
            LogMel(sample_rate=RATE, **fields)
