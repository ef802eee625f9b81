"""Spectra of the teacher's audio: resampling to 24 kHz, mel bands, cepstra."""

from functools import cache

import numpy as np
import numpy.typing as npt

from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

STEPS_PER_FRAME = 4
SAMPLES_PER_STEP = SAMPLES_PER_FRAME // STEPS_PER_FRAME
"""512: the finest codes' grid, and the hop of the spectra."""

WINDOW_SAMPLES = 1024
BANDS = 60
CEPSTRA = 20
FLOOR = 1e-5
"""Added to band magnitudes before the logarithm: about the level of 16-bit noise."""

FloatArray = npt.NDArray[np.float32]

_TAPS = 32


def to_24_khz(audio: FloatArray) -> FloatArray:
    """Audio [N] at 16 kHz to [floor(N / 2) * 3] at 24 kHz."""
    return _resampled(audio, 3, 2)


def to_16_khz(audio: FloatArray) -> FloatArray:
    """Audio [N] at 24 kHz to [floor(N / 3) * 2] at 16 kHz."""
    return _resampled(audio, 2, 3)


def _resampled(audio: FloatArray, up: int, down: int) -> FloatArray:
    padded = np.pad(audio, (_TAPS // 2 - 1, _TAPS // 2 + down))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _TAPS)[: len(audio) // down * down : down]
    return (windows @ _phase_filters(up, down)).reshape(-1).astype(np.float32)


def whole_frames(audio: FloatArray) -> FloatArray:
    """Audio padded with silence to a multiple of a frame."""
    return np.pad(audio, (0, -len(audio) % SAMPLES_PER_FRAME))


def cepstra(audio: FloatArray) -> FloatArray:
    """Audio [2048 * F] at 24 kHz to [4 * F, 20]: one spectrum centred on each step."""
    found: FloatArray = log_mel(audio) @ cosine_basis()
    return found


def log_mel(audio: FloatArray) -> FloatArray:
    """Audio [2048 * F] at 24 kHz to natural logarithms of mel band magnitudes, [4 * F, 60]."""
    margin = (WINDOW_SAMPLES - SAMPLES_PER_STEP) // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(audio, margin), WINDOW_SAMPLES)[::SAMPLES_PER_STEP]
    magnitudes = np.abs(np.fft.rfft(windows * hann(WINDOW_SAMPLES)))
    return _single(np.log(magnitudes @ mel_weights(WINDOW_SAMPLES, BANDS) + FLOOR))


@cache
def hann(samples: int) -> FloatArray:
    """The periodic Hann window."""
    return _single(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples))


@cache
def mel_weights(window_samples: int, bands: int) -> FloatArray:
    """Triangular bands over the bins of a window's spectrum, [bins, bands], each of weight one, scaled to the
    window."""
    bins_hz = np.fft.rfftfreq(window_samples, 1 / SAMPLE_RATE_HZ)
    edges_hz = _hz(np.linspace(_mel(np.array(40.0)), _mel(np.array(SAMPLE_RATE_HZ / 2)), bands + 2))
    low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz[:, None] - low) / (centre - low)
    falling = (high - bins_hz[:, None]) / (high - centre)
    weights = np.maximum(0, np.minimum(rising, falling))
    nearest = np.abs(bins_hz[:, None] - centre).argmin(axis=0)
    empty = weights.sum(axis=0) == 0
    weights[nearest[empty], np.flatnonzero(empty)] = 1
    return _single(weights / weights.sum(axis=0) * (2 / window_samples))


@cache
def cosine_basis() -> FloatArray:
    """The orthonormal cosine transform of the bands, [60, 20]."""
    angles = np.pi / BANDS * (np.arange(BANDS)[:, None] + 0.5) * np.arange(CEPSTRA)
    basis = np.cos(angles) * np.sqrt(2 / BANDS)
    basis[:, 0] /= np.sqrt(2)
    return _single(basis)


@cache
def _phase_filters(up: int, down: int) -> FloatArray:
    """Filters [32, up] that between them turn `down` samples into `up`, with what cannot be kept left out."""
    positions = np.arange(_TAPS)[:, None] - (_TAPS // 2 - 1) - np.arange(up) * down / up
    window = np.cos(np.pi * positions / (_TAPS + down)) ** 2
    filters = np.sinc(positions * min(1, up / down)) * window
    return _single(filters / filters.sum(axis=0))


def _single(values: npt.NDArray[np.float64]) -> FloatArray:
    return values.astype(np.float32)


def _mel(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1127 * np.log1p(hz / 700)


def _hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 700 * np.expm1(mel / 1127)
