"""Fixed matrices of the decoder's sound: windows, the transform, bands to minimum-phase filters."""

from functools import cache

import numpy as np
import numpy.typing as npt

from demo_voice.features import hann
from orpheus_core.layout import SAMPLE_RATE_HZ

HOP_SAMPLES = 256
SEGMENT_SAMPLES = 2 * HOP_SAMPLES
"""What is filtered at once; neighbours overlap by half."""
TRANSFORM_SAMPLES = 2 * SEGMENT_SAMPLES
"""Twice a segment, so that a filter's answer does not wrap around."""
BINS = TRANSFORM_SAMPLES // 2 + 1
FILTER_BANDS = 64

NOISE_SEGMENTS = 256
NOISE_SEED = 7

FloatArray = npt.NDArray[np.float32]


@cache
def analysis_basis() -> FloatArray:
    """Real and imaginary parts of a windowed segment's spectrum, [2 * bins, segment]."""
    angles = 2 * np.pi / TRANSFORM_SAMPLES * np.outer(np.arange(BINS), np.arange(SEGMENT_SAMPLES))
    basis = np.concatenate((np.cos(angles), -np.sin(angles))) * hann(SEGMENT_SAMPLES)
    return basis.astype(np.float32)


@cache
def synthesis_basis() -> FloatArray:
    """A spectrum's real and imaginary parts back to samples, [2 * bins, transform]."""
    angles = 2 * np.pi / TRANSFORM_SAMPLES * np.outer(np.arange(BINS), np.arange(TRANSFORM_SAMPLES))
    twice = np.full((BINS, 1), 2.0)
    twice[[0, -1]] = 1.0
    basis = np.concatenate((np.cos(angles) * twice, -np.sin(angles) * twice)) / TRANSFORM_SAMPLES
    return basis.astype(np.float32)


@cache
def band_to_bins() -> FloatArray:
    """Log amplitudes at mel-spaced places to all bins, linear between, [bands, bins]."""
    bins_mel = np.log1p(np.fft.rfftfreq(TRANSFORM_SAMPLES, 1 / SAMPLE_RATE_HZ) / 700)
    places = np.linspace(0, bins_mel[-1], FILTER_BANDS)
    return np.stack([np.interp(bins_mel, places, row) for row in np.eye(FILTER_BANDS)]).astype(np.float32)


@cache
def band_to_phases() -> FloatArray:
    """Log amplitudes of bands to the minimum phase of their filter, [bands, bins]."""
    cepstrum = np.fft.irfft(band_to_bins())
    folded = np.zeros_like(cepstrum)
    half = TRANSFORM_SAMPLES // 2
    folded[:, 1:half] = 2 * cepstrum[:, 1:half]
    folded[:, [0, half]] = cepstrum[:, [0, half]]
    return np.fft.rfft(folded).imag.astype(np.float32)


@cache
def noise_spectra() -> FloatArray:
    """Spectra of seeded noise under a window that keeps its power when segments overlap, [segments, 2 * bins]."""
    noise = np.random.default_rng(NOISE_SEED).standard_normal((NOISE_SEGMENTS, SEGMENT_SAMPLES))
    spectra = np.fft.rfft(noise * np.sqrt(hann(SEGMENT_SAMPLES)), TRANSFORM_SAMPLES)
    return np.concatenate((spectra.real, spectra.imag), axis=1).astype(np.float32)
