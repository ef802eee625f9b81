"""Speech decoded through overlapping windows against one decode of the whole."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from orpheus_core.layout import (
    CODES_PER_SLOT,
    DECODER_BUCKET_FRAMES,
    SAMPLES_PER_FRAME,
    SNAC_RECEPTIVE_FIELD_SAMPLES,
    TOKENS_PER_FRAME,
)

pytestmark = pytest.mark.server

CHUNKS_FRAMES = (1, 1, 1, 2, 3, 5, 8)
"""Frames that arrive together; the last size repeats."""


def arrivals(frames: int) -> Iterator[int]:
    """Frames received so far, chunk by chunk."""
    received = 0
    for chunk_frames in (*CHUNKS_FRAMES, *(CHUNKS_FRAMES[-1],) * frames):
        received = min(frames, received + chunk_frames)
        yield received
        if received == frames:
            return


def streamed(decoder: Any, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Only final samples, from windows that begin in the frame that the first of them can still hear."""
    sent, chunks = 0, []
    for end in arrivals(len(codes)):
        final = end * SAMPLES_PER_FRAME - (0 if end == len(codes) else SNAC_RECEPTIVE_FIELD_SAMPLES)
        if final <= sent:
            continue
        start = max(0, (sent - SNAC_RECEPTIVE_FIELD_SAMPLES) // SAMPLES_PER_FRAME)
        bucket_frames = min(bucket for bucket in DECODER_BUCKET_FRAMES if bucket >= end - start)
        padded = np.zeros((1, bucket_frames, TOKENS_PER_FRAME), dtype=np.int64)
        padded[0, : end - start] = codes[start:end]
        valid = np.array([[0, end - start]], dtype=np.int32)
        (audio,) = decoder.run(None, {"codes": padded, "valid": valid})
        offset = start * SAMPLES_PER_FRAME
        chunks.append(audio[0, sent - offset : final - offset])
        sent = final
    return np.concatenate(chunks)


def offline(decoder: Any, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    valid = np.array([[0, len(codes)]], dtype=np.int32)
    (audio,) = decoder.run(None, {"codes": codes[None], "valid": valid})
    return audio[0]


def in_int16_steps(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    return np.rint(audio * 32767.0).astype(np.int32)


@pytest.mark.parametrize("frames", [1, 2, 5, 29])
def test_a_stream_equals_the_whole_to_the_last_bit_of_int16(decoder: Any, frames: int) -> None:
    codes = np.random.default_rng(frames).integers(0, CODES_PER_SLOT, (frames, TOKENS_PER_FRAME))
    codes[[0, frames // 2, -1]] = 0
    joined, whole = streamed(decoder, codes), offline(decoder, codes)
    assert len(joined) == len(whole) == frames * SAMPLES_PER_FRAME
    assert np.abs(in_int16_steps(joined) - in_int16_steps(whole)).max() <= 1
