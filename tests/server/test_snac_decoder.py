"""The decoder's graph against PyTorch: any length, anywhere in its window, in any company."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from snac import SNAC

from orpheus_core.layout import (
    CODES_PER_SLOT,
    DECODER_BUCKET_FRAMES,
    SAMPLES_PER_FRAME,
    SNAC_RECEPTIVE_FIELD_SAMPLES,
    TOKENS_PER_FRAME,
)
from snac_export.graphs import WindowDecoder
from snac_export.weights import Codec

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

MAX_DIFFERENCE = 1e-5
EVERY_LENGTH = range(1, 65)
MIDDLE_UP_TO_FRAMES = 16
BATCH_SIZES = (1, 3, 8)
SOME_LENGTHS = (1, 2, 7, 8, 9, 13, 16, 17, 25, 32, 33, 64)

Audio = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int64]
Row = tuple[int, int]
"""Frames of a speech, and the first frame of its place in the window."""


def speech(seed: int, frames: int) -> Codes:
    return np.random.default_rng(seed).integers(0, CODES_PER_SLOT, (frames, TOKENS_PER_FRAME))


def decoded_alone(model: SNAC, codes: Codes) -> Audio:
    """SNAC's own decode of a short input, its slots sorted by hand: [frames, 7] to [2048 * frames]."""
    coarse, middle, fine = codes[:, [0]], codes[:, [1, 4]], codes[:, [2, 3, 5, 6]]
    with torch.inference_mode():
        audio = model.decode([torch.from_numpy(c.reshape(1, -1)) for c in (coarse, middle, fine)])
    samples: Audio = audio[0, 0].numpy()
    return samples


def bucket_of(frames: int) -> int:
    return min(bucket for bucket in DECODER_BUCKET_FRAMES if bucket >= frames)


def window(codes: Codes, bucket_frames: int, first: int) -> tuple[Codes, npt.NDArray[np.int32]]:
    padded = np.zeros((bucket_frames, TOKENS_PER_FRAME), dtype=np.int64)
    padded[first : first + len(codes)] = codes
    return padded, np.array([first, first + len(codes)], dtype=np.int32)


def places(frames: int) -> list[int]:
    """First frames of speech at the start and at the end of its bucket, and in the middle of a small one."""
    room = bucket_of(frames) - frames
    return sorted({0, room // 2 if frames <= MIDDLE_UP_TO_FRAMES else 0, room})


def span(first: int, frames: int) -> slice:
    return slice(first * SAMPLES_PER_FRAME, (first + frames) * SAMPLES_PER_FRAME)


def batches_of(rows: Sequence[Row], sizes: Iterator[int]) -> Iterator[Sequence[Row]]:
    """The rows in batches of these sizes, the last one as it comes."""
    start = 0
    while start < len(rows):
        end = start + next(sizes)
        yield rows[start:end]
        start = end


def difference(audio: Audio, first: int, expected: Audio) -> float:
    frames = len(expected) // SAMPLES_PER_FRAME
    return float(np.abs(audio[span(first, frames)] - expected).max())


@pytest.mark.parametrize("bucket_frames", DECODER_BUCKET_FRAMES)
def test_every_length_at_every_edge_of_its_window(slim_model: SNAC, bucket_frames: int) -> None:
    lengths = [frames for frames in EVERY_LENGTH if bucket_of(frames) == bucket_frames]
    alone = {frames: decoded_alone(slim_model, speech(frames, frames)) for frames in lengths}
    rows = [(frames, first) for frames in lengths for first in places(frames)]
    for batch in batches_of(rows, cycle(BATCH_SIZES)):
        windows = [window(speech(frames, frames), bucket_frames, first) for frames, first in batch]
        codes, valid = (torch.from_numpy(np.stack(part)) for part in zip(*windows, strict=True))
        with torch.inference_mode():
            audio = WindowDecoder(slim_model)(codes, valid).numpy()
        for row, (frames, first) in zip(audio, batch, strict=True):
            assert difference(row, first, alone[frames]) <= MAX_DIFFERENCE, (frames, first)
            assert not np.delete(row, span(first, frames)).any(), (frames, first)


@pytest.mark.parametrize("frames", SOME_LENGTHS)
def test_the_file_equals_pytorch_at_full_size(codec: Codec, decoder: Any, frames: int) -> None:
    codes = speech(frames, frames)
    first = places(frames)[frames % len(places(frames))]
    padded, valid = window(codes, bucket_of(frames), first)
    (audio,) = decoder.run(None, {"codes": padded[None], "valid": valid[None]})
    assert difference(audio[0], first, decoded_alone(codec.model, codes)) <= MAX_DIFFERENCE


@pytest.mark.parametrize(
    ("bucket_frames", "rows"),
    [
        (8, [(3, 4)]),
        (16, [(0, 16), (5, 1), (7, 9)]),
        (8, [(0, 8), (0, 1), (7, 1), (2, 3), (0, 0), (1, 7), (0, 5), (4, 2)]),
    ],
    ids=["1", "3", "8"],
)
def test_a_batch_of_unlike_windows(codec: Codec, decoder: Any, bucket_frames: int, rows: list[tuple[int, int]]) -> None:
    speeches = [speech(index, frames) for index, (_, frames) in enumerate(rows)]
    windows = [window(codes, bucket_frames, first) for codes, (first, _) in zip(speeches, rows, strict=True)]
    feed = {"codes": np.stack([padded for padded, _ in windows]), "valid": np.stack([valid for _, valid in windows])}
    (audio,) = decoder.run(None, feed)
    assert audio.shape == (len(rows), bucket_frames * SAMPLES_PER_FRAME)
    for row, codes, (first, frames) in zip(audio, speeches, rows, strict=True):
        if frames:
            assert difference(row, first, decoded_alone(codec.model, codes)) <= MAX_DIFFERENCE
        else:
            assert not row.any()


def test_lengths_between_the_buckets_are_served_too(codec: Codec, decoder: Any) -> None:
    codes = speech(0, 11)
    (audio,) = decoder.run(None, {"codes": codes[None], "valid": np.array([[0, 11]], dtype=np.int32)})
    assert difference(audio[0], 0, decoded_alone(codec.model, codes)) <= MAX_DIFFERENCE


def test_pad_codes_are_not_heard(decoder: Any) -> None:
    padded, valid = window(speech(0, 5), 8, 1)
    (audio,) = decoder.run(None, {"codes": padded[None], "valid": valid[None]})
    padded[[0, 6, 7]] = CODES_PER_SLOT - 1
    (other,) = decoder.run(None, {"codes": padded[None], "valid": valid[None]})
    assert audio.tobytes() == other.tobytes()


def test_the_same_codes_give_the_same_bytes(decoder: Any) -> None:
    padded, valid = window(speech(0, 8), 8, 0)
    first, second = (decoder.run(None, {"codes": padded[None], "valid": valid[None]})[0] for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_frame_reaches_as_far_as_the_constant_says_and_no_further(slim_model: SNAC) -> None:
    frames, changed = 9, 4
    codes = speech(0, frames)
    other = codes.copy()
    other[changed] = speech(1, 1)[0]
    # In double precision: single would round the farthest traces away.
    in_doubles = slim_model.double()
    try:
        differs = np.flatnonzero(decoded_alone(in_doubles, codes) != decoded_alone(in_doubles, other))
    finally:
        slim_model.float()
    start, end = changed * SAMPLES_PER_FRAME, (changed + 1) * SAMPLES_PER_FRAME
    assert (start - differs[0], differs[-1] + 1 - end) == (SNAC_RECEPTIVE_FIELD_SAMPLES,) * 2
