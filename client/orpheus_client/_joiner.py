"""Pieces of speech made one: silence between them, no click at the seams."""

import numpy as np

from orpheus_client._errors import InvalidInput
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm, no_samples

RAMP_SAMPLES = SAMPLE_RATE_HZ // 200
"""5 ms: long enough that an edge does not click, too short to be heard as a fade."""

MAX_PAUSE_MS = 10_000


class PieceJoiner:
    """Samples of consecutive pieces in, the samples of the whole out.

    Only the `RAMP_SAMPLES` beside an inserted pause are changed; a single piece comes out as it went in. That many
    samples are held back, because a piece may turn out to end there.

    Raises:
        InvalidInput: a pause below 0 or above 10 s.
    """

    def __init__(self, *, pause_ms: float) -> None:
        if not 0 <= pause_ms <= MAX_PAUSE_MS:
            raise InvalidInput(f"pause_ms: {pause_ms}: give 0 to {MAX_PAUSE_MS}")
        self._pause_samples = round(pause_ms * SAMPLE_RATE_HZ / 1000)
        self._begun = False
        self._held = no_samples()
        self._to_ramp_up = 0
        """Samples at the start of this piece that are still to be ramped."""

    def begin_piece(self) -> Pcm:
        """Samples between the piece before, if there was one, and the next: its last ones and the pause."""
        if not self._begun:
            self._begun = True
            return no_samples()
        ramp = np.linspace(1, 0, RAMP_SAMPLES, dtype=np.float32)[RAMP_SAMPLES - len(self._held) :]
        end = np.rint(self._held * ramp).astype(np.int16)
        self._held = no_samples()
        self._to_ramp_up = RAMP_SAMPLES
        return np.concatenate((end, np.zeros(self._pause_samples, dtype=np.int16)))

    def push(self, samples: Pcm) -> Pcm:
        """Samples of the present piece."""
        passed = np.concatenate((self._held, self._ramped_up(samples)))
        keep = max(0, len(passed) - RAMP_SAMPLES)
        self._held = passed[keep:]
        return passed[:keep]

    def flush(self) -> Pcm:
        """The last samples."""
        held, self._held = self._held, no_samples()
        return held

    def _ramped_up(self, samples: Pcm) -> Pcm:
        if not self._to_ramp_up:
            return samples
        done = RAMP_SAMPLES - self._to_ramp_up
        ramp = np.linspace(0, 1, RAMP_SAMPLES, dtype=np.float32)[done : done + len(samples)]
        self._to_ramp_up -= len(ramp)
        start = np.rint(samples[: len(ramp)] * ramp).astype(np.int16)
        return np.concatenate((start, samples[len(ramp) :]))
