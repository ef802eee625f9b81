"""The quiet opening of a speech: found always, left out on request."""

import numpy as np

from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm, no_samples

BLOCK_SAMPLES = SAMPLE_RATE_HZ // 100
"""10 ms: finer than an ear notices at an onset."""

AUDIBLE_LEVEL = 164
"""A 10 ms block whose peak reaches this (int16, -46 dB of full scale) is audible: below soft consonants, above the
noise that codecs leave in pauses."""

MAX_TRIMMED_SAMPLES = 2 * SAMPLE_RATE_HZ
"""A longer silence is sent: by then it may be meant."""


def first_audible_sample(samples: Pcm) -> int | None:
    """Start of the first audible 10 ms block, counted from sample 0, or None."""
    whole = np.pad(samples.astype(np.int32), (0, -len(samples) % BLOCK_SAMPLES))
    audible = np.abs(whole).reshape(-1, BLOCK_SAMPLES).max(axis=1) >= AUDIBLE_LEVEL
    return int(np.argmax(audible)) * BLOCK_SAMPLES if audible.any() else None


class SilenceTrim:
    """Leaves out the 10 ms blocks before the first audible one; a function of the samples, not of their chunks."""

    def __init__(self, *, enabled: bool = True, max_trimmed_samples: int = MAX_TRIMMED_SAMPLES) -> None:
        self._max_trimmed_samples = max_trimmed_samples if enabled else 0
        self._open = False
        self._held = no_samples()
        self.trimmed_samples = 0
        self.heard = False
        """Whether an audible block has gone by."""

    def push(self, samples: Pcm) -> Pcm:
        """Samples to send now; a block that is not complete yet is held back while still searching."""
        if self.heard:
            return samples
        passed = np.concatenate((self._held, samples))
        whole = len(passed) - len(passed) % BLOCK_SAMPLES
        onset = first_audible_sample(passed[:whole])
        self.heard = onset is not None
        return self._pass(passed, whole if onset is None else onset)

    def flush(self) -> Pcm:
        """The last, incomplete block, unless all was silence and left out."""
        rest, self._held = self._held, no_samples()
        self.heard = self.heard or first_audible_sample(rest) is not None
        return rest if self._open or self.heard else no_samples()

    def _pass(self, passed: Pcm, quiet: int) -> Pcm:
        """Let `passed` go from the end of its quiet opening on, as far as the limit allows to leave that out."""
        whole = len(passed) if self.heard else len(passed) - len(passed) % BLOCK_SAMPLES
        cut = 0 if self._open else min(quiet, self._max_trimmed_samples - self.trimmed_samples)
        self.trimmed_samples += cut
        self._open = self._open or self.trimmed_samples >= self._max_trimmed_samples or self.heard
        self._held = passed[whole:]
        return passed[cut:whole]
