"""The streaming window against the decode of everything at once, with a decoder of exactly known reach."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_core.checkpoint import Decoder
from orpheus_core.errors import InternalFault
from orpheus_core.layout import SAMPLES_PER_FRAME
from orpheus_core.pcm import to_pcm
from orpheus_core.tokens import Frames
from orpheus_core.window import ExactWindow, Window, context_frames

pytestmark = pytest.mark.unit

REACHES = [0, 1, 2000, 2048, 4757]


class BoxDecoder:
    """Each sample is the mean of its frame's codes' sum over `reach` samples to each side: a finite, exact reach."""

    def __init__(self, reach_samples: int) -> None:
        self.reach_samples = reach_samples
        self.lengths: list[int] = []

    def __call__(self, window: Window) -> npt.NDArray[np.float32]:
        assert window.codes.dtype == np.int64
        first, end = window.valid
        self.lengths.append(len(window.codes))
        audio = np.zeros(len(window.codes) * SAMPLES_PER_FRAME, dtype=np.float32)
        audio[first * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME] = self.offline(window.codes[first:end])
        return audio

    def offline(self, frames: Frames) -> npt.NDArray[np.float32]:
        held = np.repeat(frames.sum(axis=1), SAMPLES_PER_FRAME)
        padded = np.concatenate(([0], np.cumsum(np.pad(held, self.reach_samples))))
        width = 2 * self.reach_samples + 1
        return ((padded[width:] - padded[:-width]) / (width * 7 * 4096)).astype(np.float32)


def decoder(reach_samples: int) -> Decoder:
    return Decoder(receptive_field_samples=reach_samples, bucket_frames=(8, 16, 32, 64))


def speech(frames: int, seed: int = 0) -> Frames:
    return np.random.default_rng(seed).integers(0, 4096, (frames, 7))


def stream(frames: Frames, cuts: list[int], box: BoxDecoder) -> npt.NDArray[np.int16]:
    window = ExactWindow(box, decoder(box.reach_samples))
    edges = [0, *sorted(cut % (len(frames) + 1) for cut in cuts), len(frames)]
    parts = [window.push(frames[a:b]) for a, b in itertools.pairwise(edges)]
    return np.concatenate([*parts, window.flush()])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 150), st.lists(st.integers(0, 1000), max_size=30), st.sampled_from(REACHES))
def test_any_chunking_gives_the_samples_of_one_decode(length: int, cuts: list[int], reach: int) -> None:
    frames = speech(length)
    box = BoxDecoder(reach)
    np.testing.assert_array_equal(stream(frames, cuts, box), to_pcm(box.offline(frames)))
    assert set(box.lengths) <= {8, 16, 32, 64}


def test_last_frames_may_come_with_the_flush() -> None:
    frames, box = speech(14), BoxDecoder(4757)
    window = ExactWindow(box, decoder(4757))
    parts = [window.push(frames[:6]), window.flush(frames[6:])]
    np.testing.assert_array_equal(np.concatenate(parts), to_pcm(box.offline(frames)))
    assert box.lengths == [8, 16]


@pytest.mark.parametrize(("last", "lengths"), [(9, [16]), (17, [16, 8]), (35, [32, 8]), (43, [32, 16]), (60, [64])])
def test_a_tail_that_hardly_fills_its_bucket_is_cut(last: int, lengths: list[int]) -> None:
    frames, box = speech(last), BoxDecoder(4757)
    samples = ExactWindow(box, decoder(4757)).flush(frames)
    np.testing.assert_array_equal(samples, to_pcm(box.offline(frames)))
    assert box.lengths == lengths


def test_a_tail_is_never_cut_where_nothing_would_be_gained() -> None:
    # Twice the reach is more than the smallest window: cutting there would never end.
    for last in range(1, 65):
        frames, box = speech(last), BoxDecoder(9000)
        np.testing.assert_array_equal(ExactWindow(box, decoder(9000)).flush(frames), to_pcm(box.offline(frames)))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.zeros(8 * 1024, dtype=np.float32), "8192 samples instead of 16384"),
        (np.zeros((1, 8 * SAMPLES_PER_FRAME), dtype=np.float32), "16384 samples"),
        (np.full(8 * SAMPLES_PER_FRAME, np.nan, dtype=np.float32), "no numbers"),
        (np.full(8 * SAMPLES_PER_FRAME, np.inf, dtype=np.float32), "no numbers"),
    ],
)
def test_an_answer_that_is_no_audio_is_a_fault(answer: npt.NDArray[np.float32], message: str) -> None:
    window = ExactWindow(lambda _window: answer, decoder(4757))
    with pytest.raises(InternalFault, match=message):
        window.push(speech(8))


def test_loud_samples_are_clipped_and_never_wrap() -> None:
    loud = np.tile(np.array([-3.0, 3.0], dtype=np.float32), 4 * SAMPLES_PER_FRAME)
    samples = ExactWindow(lambda _window: loud, decoder(0)).push(speech(8))
    assert {int(sample) for sample in samples} == {-32768, 32767}


def test_the_first_samples_leave_after_three_frames_of_snac() -> None:
    window = ExactWindow(BoxDecoder(4757), decoder(4757))
    assert [len(window.push(frame[None])) for frame in speech(4)] == [0, 0, 3 * 2048 - 4757, 2048]


def test_new_frames_cost_their_number_plus_five() -> None:
    window = ExactWindow(BoxDecoder(4757), decoder(4757))
    window.push(speech(40))
    before = window.decoded_frames
    window.push(speech(11))
    assert window.decoded_frames - before == 11 + context_frames(decoder(4757)) == 16


def test_nothing_in_nothing_out() -> None:
    box = BoxDecoder(4757)
    assert len(ExactWindow(box, decoder(4757)).flush()) == 0
    assert box.lengths == []
