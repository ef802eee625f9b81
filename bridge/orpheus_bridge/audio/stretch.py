"""Faster or slower speech at the same pitch."""

import math
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph

from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm, no_samples

MIN_SPEED = 0.25
MAX_SPEED = 4.0

STAGE_MIN = 0.5
STAGE_MAX = 2.0
"""One `atempo` sounds well between these; further out several are put in a row."""

BLOCK_SAMPLES = 1024
"""What `atempo` makes of the samples depends on how they are cut; so they are always cut alike."""


class Stretch:
    """Samples at `speed` times their pace; at exactly 1 they go through untouched.

    Args:
        speed: 0.25 to 4.
    """

    def __init__(self, speed: float) -> None:
        self._filter = None if speed == 1.0 else _Tempo(speed)

    def push(self, samples: Pcm) -> Pcm:
        """Samples [n] to those that are ready; the filter holds back less than 0.1 s a stage."""
        return samples if self._filter is None else self._filter.push(samples)

    def flush(self) -> Pcm:
        """The rest."""
        return no_samples() if self._filter is None else self._filter.flush()


def stages(speed: float) -> tuple[float, ...]:
    """Factors between `STAGE_MIN` and `STAGE_MAX` that multiply to `speed`.

    Raises:
        ValueError: a speed outside of 0.25 to 4.
    """
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise ValueError(f"speed: {speed!r}: send {MIN_SPEED} to {MAX_SPEED:g}")
    if STAGE_MIN <= speed <= STAGE_MAX:
        return (speed,)
    return (math.sqrt(speed),) * 2


class _Tempo:
    """FFmpeg's `atempo`: overlapping pieces are put together where they fit best, so the pitch stays."""

    def __init__(self, speed: float) -> None:
        self._held = no_samples()
        self._fed_samples = 0
        self._graph = Graph()
        self._source = self._graph.add_abuffer(
            sample_rate=SAMPLE_RATE_HZ, format="s16", layout="mono", time_base=Fraction(1, SAMPLE_RATE_HZ)
        )
        last = self._source
        for factor in stages(speed):
            stage = self._graph.add("atempo", repr(factor))
            last.link_to(stage)
            last = stage
        self._sink = self._graph.add("abuffersink")
        last.link_to(self._sink)
        self._graph.configure()

    def push(self, samples: Pcm) -> Pcm:
        held = np.concatenate((self._held, samples))
        whole = len(held) - len(held) % BLOCK_SAMPLES
        for start in range(0, whole, BLOCK_SAMPLES):
            self._feed(held[start : start + BLOCK_SAMPLES])
        self._held = held[whole:]
        return self._ready()

    def flush(self) -> Pcm:
        if len(self._held):
            self._feed(self._held)
        if not self._fed_samples:
            return no_samples()
        self._source.push(None)
        return self._ready()

    def _feed(self, block: Pcm) -> None:
        frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = self._fed_samples
        frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
        self._fed_samples += len(block)
        self._source.push(frame)

    def _ready(self) -> Pcm:
        parts = [no_samples()]
        while True:
            try:
                frame = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return np.concatenate(parts)
            if isinstance(frame, av.AudioFrame):
                parts.append(frame.to_ndarray()[0].astype(np.int16, copy=False))
