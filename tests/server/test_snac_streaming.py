"""Speech through the streaming window and the exported decoder, against one decode of the whole."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from orpheus_core.checkpoint import Decoder
from orpheus_core.layout import CODES_PER_SLOT, SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from orpheus_core.pcm import Pcm, to_pcm
from orpheus_core.tokens import Frames
from orpheus_core.window import ExactWindow, Window
from snac_export.slots import decode
from snac_export.weights import Codec

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

STEADY = (3, 1, 1, 2, 3, 6, 11, 27)
ONE_BY_ONE = (1,)
LATE_AND_LARGE = (2, 64)


def speech(frames: int) -> Frames:
    """Random codes, with code 0 in every slot of the first, a middle and the last frame."""
    codes = np.random.default_rng(frames).integers(0, CODES_PER_SLOT, (frames, TOKENS_PER_FRAME))
    codes[[0, frames // 2, -1]] = 0
    return codes


def streamed(decoder: Any, codes: Frames, sizes: tuple[int, ...]) -> Pcm:
    """Frames arrive in chunks of these sizes, the last size repeats."""

    def decode_window(window: Window) -> npt.NDArray[np.float32]:
        (audio,) = decoder.run(None, {"codes": window.codes[None], "valid": window.valid[None]})
        samples: npt.NDArray[np.float32] = audio[0]
        return samples

    window = ExactWindow(decode_window, Decoder())
    edges = np.cumsum([0, *sizes, *sizes[-1:] * len(codes)])
    parts = [window.push(codes[start:end]) for start, end in pairwise(edges)]
    return np.concatenate([*parts, window.flush()])


def offline(codec: Codec, codes: Frames) -> Pcm:
    return to_pcm(decode(codec.model, torch.from_numpy(codes[None])).numpy()[0])


@pytest.mark.parametrize(
    ("frames", "sizes"),
    [(1, STEADY), (2, STEADY), (5, ONE_BY_ONE), (9, STEADY), (29, STEADY), (66, LATE_AND_LARGE)],
)
def test_a_stream_equals_the_whole_to_one_step_of_int16(
    codec: Codec, decoder: Any, frames: int, sizes: tuple[int, ...]
) -> None:
    codes = speech(frames)
    joined, whole = streamed(decoder, codes, sizes), offline(codec, codes)
    assert joined.dtype == np.int16
    assert len(joined) == len(whole) == frames * SAMPLES_PER_FRAME
    assert np.abs(joined.astype(np.int32) - whole).max() <= 1


def test_the_edges_of_a_stream_are_heard(codec: Codec, decoder: Any) -> None:
    """A stream that lost or faded its first or last frame would pass a test of lengths."""
    joined = streamed(decoder, speech(6), ONE_BY_ONE)
    for edge in (joined[:SAMPLES_PER_FRAME], joined[-SAMPLES_PER_FRAME:]):
        assert np.abs(edge.astype(np.int32)).max() >= 1000
