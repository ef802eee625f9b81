"""Audio samples as callers get them."""

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.int16]
"""24 kHz mono, [samples]."""

FULL_SCALE = 32767
"""int16 value of a float sample of 1.0."""


def to_pcm(audio: npt.NDArray[np.float32]) -> Pcm:
    """Float samples, 1.0 full scale, to int16; louder ones are clipped, never wrapped."""
    scaled: npt.NDArray[np.float32] = audio * np.float32(FULL_SCALE)
    np.rint(scaled, out=scaled)
    np.minimum(scaled, FULL_SCALE, out=scaled)
    np.maximum(scaled, -FULL_SCALE - 1, out=scaled)
    return scaled.astype(np.int16)


def no_samples() -> Pcm:
    """An empty chunk."""
    return np.empty(0, dtype=np.int16)
