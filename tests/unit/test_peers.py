"""What this project is compared with, and how: on a decoder whose samples are known."""

import numpy as np
import numpy.typing as npt
import pytest

from orpheus_core.checkpoint import Decoder
from orpheus_core.layout import SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from orpheus_core.pcm import Pcm, to_pcm
from orpheus_core.tokens import Frames
from peers.figures import Speech, figures
from peers.windows import ScheduledWindow, SlidingWindow, Stage

pytestmark = pytest.mark.unit

REACH = 3000


def decode(codes: Frames, real_frames: int) -> npt.NDArray[np.float32]:
    """Every sample is a mean of what lies within `REACH` of it: the ends of a window are not what they are inside."""
    level = np.repeat(codes[:, 0] / 200, SAMPLES_PER_FRAME)
    level[real_frames * SAMPLES_PER_FRAME :] = 0
    sums = np.concatenate(([0.0], np.cumsum(np.pad(level, REACH))))
    return ((sums[2 * REACH + 1 :] - sums[: -2 * REACH - 1]) / (2 * REACH + 1)).astype(np.float32)


def spoken(stage: Stage, frames: Frames) -> Speech:
    chunks: list[Pcm] = [stage.push(frame[None]) for frame in frames]
    chunks = [chunk for chunk in (*chunks, stage.flush()) if len(chunk)]
    return Speech(
        chunks=chunks, arrived_s=[0.1 * (n + 1) for n in range(len(chunks))], whole=to_pcm(decode(frames, len(frames))),
        decoded_frames=stage.decoded_frames,
    )  # fmt: skip


@pytest.fixture
def frames() -> Frames:
    return np.random.default_rng(0).integers(20, 100, (30, TOKENS_PER_FRAME))


def test_the_package_s_window_loses_three_frames_and_decodes_each_four_times(frames: Frames) -> None:
    found = figures([spoken(SlidingWindow(decode), frames)], cpu_s=1.0, wall_s=2.0)
    assert found.lost_samples == 3 * SAMPLES_PER_FRAME
    assert found.decoded_per_sent == pytest.approx(4.0)
    assert 5 < found.difference_db < 60
    assert found.first_audio_ms == found.first_audible_ms == pytest.approx(100.0)


def test_this_project_s_window_loses_nothing(frames: Frames) -> None:
    decoder = Decoder(receptive_field_samples=REACH, bucket_frames=(4, 8, 16))
    found = figures([spoken(ScheduledWindow(decode, decoder), frames)], cpu_s=1.0, wall_s=2.0)
    assert found.lost_samples == 0
    assert found.difference_db == float("inf")
    audio_s = 30 * SAMPLES_PER_FRAME / 24_000
    assert found.cpu_ms_per_audio_s == pytest.approx(1000 / audio_s)
    assert found.times_real_time == pytest.approx(audio_s / 2)
