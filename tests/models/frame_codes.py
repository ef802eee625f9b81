"""Codes that say which frame of which stream they are, and the samples that the counting decoder makes of them.

The seven slots of a frame: its index in the speech, its stream, the speech's frames (0: not known yet), whether it is
quiet, what befalls the decoder at it, and two check codes over the others. Samples count up by one along the speech, so
one that is missing, doubled, moved or of another stream shows.
"""

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int64]
"""[..., 7] int64, 0..4095."""

Samples = npt.NDArray[np.int16]
"""[samples] int16."""

SLOTS = 7
INDEX, STREAM, TOTAL, QUIET, FAULT, CHECK, CROSS_CHECK = range(SLOTS)
CODES_PER_SLOT = 4096
SAMPLES_PER_FRAME = 2048
FULL_SCALE = 32767

PERIOD = 59_999
"""Of the count, a prime: two frames of a speech never sound alike within 60 s."""
STREAM_STEP = 7_919
QUIET_PERIOD = 101
"""Quiet frames count too, between -50 and 50, which nobody hears."""

GARBAGE = 32_000
"""Louder than any sample of a frame."""

DECODER_ERROR = 1
DECODER_HANGS_FROM = 10
"""From here on the code is how long the decoder hangs, in tenths of a second."""


def frame_codes(
    stream: int, indices: npt.ArrayLike, *, total: int = 0, quiet_frames: int = 0, faults: dict[int, int] | None = None
) -> Codes:
    """The codes of these frames of a stream, [n, 7].

    Args:
        indices: positions in the speech, 0..4095.
        total: frames of the whole speech, 0 when its end is open.
        quiet_frames: so many frames at the beginning are quiet.
        faults: what befalls the decoder, by frame.
    """
    index = np.asarray(indices, dtype=np.int64)
    codes = np.zeros((len(index), SLOTS), dtype=np.int64)
    codes[:, INDEX], codes[:, STREAM], codes[:, TOTAL] = index, stream, total
    codes[:, QUIET] = index < quiet_frames
    for frame, fault in (faults or {}).items():
        codes[index == frame, FAULT] = fault
    codes[:, CHECK], codes[:, CROSS_CHECK] = _checks(codes)
    return codes


def samples_of(codes: Codes) -> Samples:
    """What each frame [..., 7] sounds like, [..., 2048]."""
    start = codes[..., INDEX] * SAMPLES_PER_FRAME + codes[..., STREAM] * STREAM_STEP
    count = start[..., None].astype(np.int32) + np.arange(SAMPLES_PER_FRAME, dtype=np.int32)
    value = count % PERIOD - PERIOD // 2
    quiet = codes[..., QUIET] > 0
    if quiet.any():
        value[quiet] = value[quiet] % QUIET_PERIOD - QUIET_PERIOD // 2
    check, cross_check = _checks(codes)
    value[(codes[..., CHECK] != check) | (codes[..., CROSS_CHECK] != cross_check)] = GARBAGE
    return value.astype(np.int16)


def speech_of(codes: Codes) -> Samples:
    """The whole speech of frames [n, 7], [2048 * n]."""
    return samples_of(codes).reshape(-1)


def decode(codes: Codes, valid: npt.NDArray[np.int32], *, reach_samples: int) -> npt.NDArray[np.float32]:
    """What a decoder with that receptive field makes of windows.

    Garbage outside `valid`, and nearer than the reach to an edge of it that is not an edge of the speech.

    Args:
        codes: [windows, F, 7].
        valid: [windows, 2], first and end real frame.

    Returns:
        [windows, 2048 * F] float32.
    """
    windows, frames, _ = codes.shape
    audio = samples_of(codes).reshape(windows, frames * SAMPLES_PER_FRAME)
    position = np.arange(frames * SAMPLES_PER_FRAME)
    for window in range(windows):
        first, end = valid[window].tolist()
        opening, closing = codes[window, first], codes[window, end - 1]
        is_start = opening[INDEX] == 0
        is_end = closing[TOTAL] in (0, closing[INDEX] + 1)
        left = first * SAMPLES_PER_FRAME + (0 if is_start else reach_samples)
        right = end * SAMPLES_PER_FRAME - (0 if is_end else reach_samples)
        audio[window, (position < left) | (position >= right)] = GARBAGE
    return audio.astype(np.float32) / np.float32(FULL_SCALE)


def _checks(codes: Codes) -> tuple[Codes, Codes]:
    known = codes[..., :CHECK]
    check = (known @ np.array([37, 101, 5, 3, 11]) + 1) % CODES_PER_SLOT
    cross_check = (known[..., INDEX] * (known[..., STREAM] + 1) + known[..., TOTAL] * 13 + 2) % CODES_PER_SLOT
    return check, cross_check
