"""What can be measured of speech without understanding it: pitch, gaps, and steps at its joins."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import FULL_SCALE, Pcm

BLOCK_SAMPLES = SAMPLE_RATE_HZ // 100
AUDIBLE_LEVEL = 0.01
"""Peak of a block, of full scale."""

PITCH_WINDOW_SAMPLES = SAMPLE_RATE_HZ // 25
PITCH_RANGE_HZ = (60, 350)
VOICED_CORRELATION = 0.6
VOICED_PEAK = 0.05
"""Of full scale: quieter windows say nothing about a voice."""

JOIN_SAMPLES = SAMPLE_RATE_HZ // 10
"""Exact zeros in a row that are a pause put in; no speech has so many."""

BESIDE_SAMPLES = SAMPLE_RATE_HZ // 500


def median_pitch_hz(samples: Pcm) -> float:
    """Over the windows of 40 ms that are loud and periodic, by autocorrelation."""
    windows = samples[: len(samples) // PITCH_WINDOW_SAMPLES * PITCH_WINDOW_SAMPLES].reshape(-1, PITCH_WINDOW_SAMPLES)
    found = [hz for window in windows if (hz := _pitch_hz(window / FULL_SCALE)) is not None]
    return float(np.median(found))


def _pitch_hz(window: npt.NDArray[np.float64]) -> float | None:
    """Of one window; None where it is quiet or not periodic."""
    centred = window - window.mean()
    if np.abs(centred).max() < VOICED_PEAK:
        return None
    shortest, longest = (SAMPLE_RATE_HZ // hz for hz in reversed(PITCH_RANGE_HZ))
    correlation = np.array([_correlation(centred, lag) for lag in range(shortest, longest + 1)])
    # The first lag nearly as good as the best: multiples of a period fit as well.
    best = int(np.flatnonzero(correlation >= 0.9 * correlation.max())[0])
    while best + 1 < len(correlation) and correlation[best + 1] > correlation[best]:
        best += 1
    return SAMPLE_RATE_HZ / (shortest + best) if correlation[best] >= VOICED_CORRELATION else None


def _correlation(window: npt.NDArray[np.float64], lag: int) -> float:
    """-1 to 1, between the window and itself so much later."""
    early, late = window[:-lag], window[lag:]
    energy = float(np.sqrt((early @ early) * (late @ late)))
    return float(early @ late) / energy if energy else 0.0


def longest_gap_s(samples: Pcm) -> tuple[float, float]:
    """The longest stretch without an audible block between two audible ones, and where it begins."""
    blocks = samples[: len(samples) // BLOCK_SAMPLES * BLOCK_SAMPLES].reshape(-1, BLOCK_SAMPLES).astype(np.int32)
    audible = np.flatnonzero(np.abs(blocks).max(axis=1) >= AUDIBLE_LEVEL * FULL_SCALE)
    if len(audible) < 2:
        return len(samples) / SAMPLE_RATE_HZ, 0.0
    gaps = np.diff(audible) - 1
    longest = int(gaps.argmax())
    block_s = BLOCK_SAMPLES / SAMPLE_RATE_HZ
    return float(gaps[longest] * block_s), float((audible[longest] + 1) * block_s)


def steps_beside_silence(samples: Pcm) -> list[int]:
    """The largest step between two samples within 2 ms before and after each pause that was put in."""
    steps = np.abs(np.diff(samples.astype(np.int32), prepend=0, append=0))
    edges = [edge for start, end in _zero_runs(samples) for edge in (start, end)]
    return [int(steps[max(0, edge - BESIDE_SAMPLES) : edge + BESIDE_SAMPLES].max()) for edge in edges]


def _zero_runs(samples: Pcm) -> list[tuple[int, int]]:
    """Starts and ends of the pauses."""
    is_zero = np.concatenate(([False], samples == 0, [False]))
    borders = np.flatnonzero(np.diff(is_zero.astype(np.int8)))
    runs = [(int(start), int(end)) for start, end in pairwise(borders)][::2]
    return [(start, end) for start, end in runs if end - start >= JOIN_SAMPLES]
