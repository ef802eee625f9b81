"""The pace of chunks, in virtual time: a language model that writes at a steady rate and a listener in real time."""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_core.checkpoint import Decoder
from orpheus_core.layout import FRAMES_PER_SECOND
from orpheus_core.length import frames_in
from orpheus_core.schedule import ChunkSchedule, lead_in_crowd
from orpheus_core.window import context_frames
from unit.core_virtual_stream import SHORT_REACH, SNAC, VirtualStream, steady

pytestmark = pytest.mark.unit

TEN_SECONDS = frames_in(10.0)
ABOUT_TEN_SECONDS = range(TEN_SECONDS - 6, TEN_SECONDS + 6)
"""A speech ends where it likes: how well its last window is filled is chance, so costs are means over these lengths."""

decoders = pytest.mark.parametrize("decoder", [SNAC, SHORT_REACH], ids=["snac", "short reach"])


@pytest.mark.parametrize("rate", [1.0, 1.02, 1.1, 1.3, 1.52, 2.0, 2.6, 5.0, 50.0])
@pytest.mark.parametrize(("jitter_s", "decode_s_per_frame"), [(0.0, 0.0005), (0.03, 0.0005), (0.0, 0.004)])
@decoders
def test_a_listener_with_60_ms_of_buffer_never_runs_dry(
    rate: float, decoder: Decoder, jitter_s: float, decode_s_per_frame: float
) -> None:
    arrivals_s = steady(rate, TEN_SECONDS, jitter_s=jitter_s)
    assert VirtualStream(arrivals_s, decoder, decode_s_per_frame).stalls == 0


@pytest.mark.parametrize(("rate", "frames"), [(2.6, 3), (1.52, 3), (1.4, 4)])
def test_the_first_chunk_comes_as_soon_as_it_can(rate: float, frames: int) -> None:
    assert VirtualStream(steady(rate, TEN_SECONDS)).takes[0] == frames


def test_a_crowded_server_waits_for_a_lead_that_it_can_cut_its_chunks_from() -> None:
    slow = steady(1.01, TEN_SECONDS)
    alone, crowded = VirtualStream(slow), VirtualStream(slow, crowded_lead_frames=4)
    assert (alone.takes[0], crowded.takes[0]) == (4, 7)
    assert crowded.stalls == 0
    assert len(crowded.takes) < 0.4 * len(alone.takes)
    assert crowded.late.ratio < 0.6 * alone.late.ratio
    for rate in (0.5, 1.5):
        other = steady(rate, TEN_SECONDS)
        assert VirtualStream(other, crowded_lead_frames=4).takes == VirtualStream(other).takes


@pytest.mark.parametrize(("live_streams", "frames"), [(1, 3), (32, 3), (33, 4), (500, 4)])
def test_among_many_a_frame_is_held_back_at_higher_rates_too(live_streams: int, frames: int) -> None:
    assert VirtualStream(steady(1.52, TEN_SECONDS), live_streams=live_streams).takes[0] == frames
    assert VirtualStream(steady(2.6, TEN_SECONDS), live_streams=live_streams).takes[0] == 3


def test_the_lead_in_a_crowd_grows_with_it() -> None:
    assert [lead_in_crowd(4, live) for live in (1, 8, 9, 32, 33, 500)] == [0, 0, 4, 4, 6, 6]
    assert lead_in_crowd(0, 500) == 0


@pytest.mark.parametrize("rate", [2.6, 5.0])
@pytest.mark.parametrize("first_gap_s", [0.07, 0.09, 0.12])
def test_one_slow_gap_in_a_crowd_does_not_put_off_fast_speech(rate: float, first_gap_s: float) -> None:
    arrivals_s = [0.1, *(0.1 + first_gap_s + at_s for at_s in steady(rate, TEN_SECONDS))]
    alone, crowded = (VirtualStream(arrivals_s, crowded_lead_frames=lead_frames) for lead_frames in (0, 6))
    assert crowded.started_s - alone.started_s <= 2.1 / (rate * FRAMES_PER_SECOND)


def test_frames_that_wait_are_not_looked_after_all_the_time() -> None:
    """A language model that pauses while there is something to send, and a decoder that is dear."""
    paused_s = [at_s + 2.0 * (index >= 40) for index, at_s in enumerate(steady(20.0, 80))]
    assert VirtualStream(paused_s, decode_s_per_frame=0.006).asked <= 60
    bursts_s = [4 * (index // 4) / (1.01 * FRAMES_PER_SECOND) for index in range(100)]
    assert VirtualStream(bursts_s, decode_s_per_frame=0.014).asked <= 70


@pytest.mark.parametrize(
    ("rate", "lead_frames", "chunks", "asked"), [(1.01, 4, 38, 46), (1.01, 6, 24, 34), (2.6, 0, 8, 14)]
)
def test_the_language_model_is_hardly_asked_more_often_than_there_are_chunks(
    rate: float, lead_frames: int, chunks: int, asked: int
) -> None:
    stream = VirtualStream(steady(rate, TEN_SECONDS), crowded_lead_frames=lead_frames)
    assert len(stream.takes) <= chunks
    assert stream.asked <= asked
    assert stream.stalls == 0


def test_a_server_that_is_not_crowded_waits_for_no_longer_lead() -> None:
    for rate, frames in ((1.05, 3), (1.15, 2), (1.2, 2)):
        assert VirtualStream(steady(rate, TEN_SECONDS), SHORT_REACH).takes[0] == frames
        assert VirtualStream(steady(rate, TEN_SECONDS), SHORT_REACH, crowded_lead_frames=4).takes[0] == 6


def test_a_short_reach_speaks_after_two_frames() -> None:
    assert VirtualStream(steady(2.6, TEN_SECONDS), SHORT_REACH).takes[0] == 2
    assert VirtualStream(steady(1.05, TEN_SECONDS), SHORT_REACH).takes[0] == 3


@pytest.mark.parametrize(
    ("rate", "real", "padded"), [(5.0, 1.15, 1.25), (2.6, 1.15, 1.25), (1.3, 1.5, 1.7), (1.1, 2.1, 2.4)]
)
def test_samples_decoded_per_sample_sent_after_the_first_second(rate: float, real: float, padded: float) -> None:
    tallies = [VirtualStream(steady(rate, frames)).late for frames in ABOUT_TEN_SECONDS]
    assert statistics.mean(tally.ratio for tally in tallies) <= real
    assert statistics.mean(tally.padded_ratio for tally in tallies) <= padded


def test_a_short_reach_costs_less() -> None:
    for rate in (1.1, 1.3, 2.6):
        assert VirtualStream(steady(rate, TEN_SECONDS), SHORT_REACH).late.ratio < (
            VirtualStream(steady(rate, TEN_SECONDS), SNAC).late.ratio
        )


def test_under_overload_chunks_grow_and_cost_falls() -> None:
    quick, slow = (VirtualStream(steady(1.02, TEN_SECONDS), SNAC, cost_s) for cost_s in (0.0005, 0.05))
    assert max(slow.takes) > max(quick.takes)
    assert slow.late.padded_ratio < quick.late.padded_ratio


@pytest.mark.parametrize("rate", [1.3, 2.0, 3.0])
def test_a_slow_decoder_is_not_asked_for_chunks_that_take_longer_than_they_play(rate: float) -> None:
    slow = VirtualStream(steady(rate, 80), SNAC, decode_s_per_frame=0.014)
    assert slow.stalls == 0
    assert min(slow.takes[:-1]) >= 2
    slower = VirtualStream(steady(rate, 80), SNAC, decode_s_per_frame=0.025)
    assert slower.stalls <= 5
    assert min(slower.takes[1:-1]) >= 7


def test_no_chunk_is_larger_than_the_largest_bucket_allows() -> None:
    burst = VirtualStream(steady(500.0, frames_in(60.0)))
    assert max(burst.takes[:-1]) <= SNAC.bucket_frames[-1] - context_frames(SNAC)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(0.0, 0.5), min_size=1, max_size=80),
    st.sampled_from([SNAC, SHORT_REACH]),
    st.sampled_from([0.0, 0.0005, 0.05]),
    st.integers(0, 5),
)
def test_whatever_comes_whenever_is_taken_once_and_without_spinning(
    gaps_s: list[float], decoder: Decoder, decode_s_per_frame: float, lead_frames: int
) -> None:
    arrivals_s = [sum(gaps_s[: index + 1]) for index in range(len(gaps_s))]
    stream = VirtualStream(arrivals_s, decoder, decode_s_per_frame, lead_frames)
    assert sum(stream.takes) == len(gaps_s)


def test_empty_deltas_change_nothing() -> None:
    schedule = ChunkSchedule(SNAC)
    for _ in range(1000):
        schedule.received(0, 1.0)
    assert schedule.rate() == math.inf
    assert schedule.decide(1.0).wait_s == math.inf
    for frame in range(3):
        schedule.received(1, 1.0 + frame / (2 * FRAMES_PER_SECOND))
        schedule.received(0, 1.5)
    assert schedule.rate() == pytest.approx(2.0)


def test_a_clock_that_stands_still_is_no_division_by_zero() -> None:
    schedule = ChunkSchedule(SNAC)
    schedule.received(3, 7.0)
    schedule.received(3, 7.0)
    assert schedule.decide(7.0).take_frames == 6
    schedule.decoded(16, 0.0)
    schedule.sent(7531, 7.0)
    schedule.received(1, 7.0)
    assert 0.0 < schedule.decide(7.0).wait_s < math.inf
