"""A spoken sentence as frames of codes."""

import numpy as np
import numpy.typing as npt

from demo_voice.codebook import Codebook
from demo_voice.corpus import Utterance
from demo_voice.features import STEPS_PER_FRAME
from demo_voice.flite import PITCH_STEP_S
from demo_voice.layout import (
    PHONE_SLOTS,
    PHONE_STEPS,
    PITCH_SLOT,
    PITCHES,
    SECONDS_PER_FRAME,
    SECONDS_PER_PHONE_STEP,
    SPECTRUM_SLOTS,
)
from demo_voice.phones import EARLY, FIRST, LATE, STATES
from orpheus_core.layout import TOKENS_PER_FRAME

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

MIN_VOICED = 0.4
"""Share of a frame that must be voiced for the frame to count as voiced."""


def frames_of(utterance: Utterance) -> int:
    return len(utterance.cepstra) // STEPS_PER_FRAME


def encoded(utterance: Utterance, voice: int, codebook: Codebook) -> Ints:
    """Codes [F, 7]."""
    frames = frames_of(utterance)
    codes = np.zeros((frames, TOKENS_PER_FRAME), dtype=np.int64)
    codes[:, PITCH_SLOT] = voice * PITCHES + cycles(utterance.pitch_hz, frames)
    steps = phone_steps(utterance.ends_s, frames * PHONE_STEPS)
    codes[:, PHONE_SLOTS] = phone_codes(utterance.phones, steps).reshape(frames, PHONE_STEPS)
    codes[:, SPECTRUM_SLOTS] = codebook.nearest(utterance.cepstra, voice).reshape(frames, STEPS_PER_FRAME)
    return codes


def cycles(pitch_hz: Floats, frames: int) -> Ints:
    """Whole cycles of the voice in each frame, [F], 0 where it is unvoiced."""
    edges = np.round(np.arange(frames + 1) * (SECONDS_PER_FRAME / PITCH_STEP_S)).astype(int)
    per_frame = np.zeros(frames, dtype=np.int64)
    for frame in range(frames):
        values = pitch_hz[edges[frame] : edges[frame + 1]]
        voiced = values[values > 0]
        if len(values) and len(voiced) >= MIN_VOICED * len(values):
            per_frame[frame] = np.clip(round(float(voiced.mean()) * SECONDS_PER_FRAME), 1, PITCHES - 1)
    return per_frame


def phone_steps(ends_s: Floats, steps: int) -> Ints:
    """Which phone each step of half a frame belongs to, [steps]; every phone that fits has one step at least."""
    count = len(ends_s)
    ends = np.round(ends_s / SECONDS_PER_PHONE_STEP).astype(np.int64)
    places = np.arange(1, count + 1)
    # Pushed apart from the left, then back from the right end.
    ends = np.maximum.accumulate(np.maximum(ends, 1) - places) + places
    ends[-1] = max(steps, count)
    ends = np.minimum.accumulate((ends - places)[::-1])[::-1] + places
    return np.minimum(np.searchsorted(ends, np.arange(steps), side="right"), count - 1)


def phone_codes(phones: npt.NDArray[np.uint8], steps: Ints) -> Ints:
    """Phone and state of each step, [steps]."""
    starts = np.searchsorted(steps, steps, side="left")
    lengths = np.searchsorted(steps, steps, side="right") - starts
    place = np.arange(len(steps)) - starts
    state = np.where(place == 0, FIRST, np.where(place < lengths / 2, EARLY, LATE))
    return phones[steps].astype(np.int64) * STATES + state
