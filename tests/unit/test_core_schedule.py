"""The pace of chunks, in virtual time: a language model that writes at a steady rate and a listener in real time."""

from dataclasses import dataclass, field

import pytest

from orpheus_core.checkpoint import Decoder
from orpheus_core.layout import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from orpheus_core.schedule import ChunkSchedule
from orpheus_core.window import context_frames

pytestmark = pytest.mark.unit

SNAC = Decoder()
SHORT_REACH = Decoder(receptive_field_samples=2048)


@dataclass
class Outcome:
    """What a simulated stream did."""

    first_send_s: float = 0.0
    stalls: int = 0
    takes: list[int] = field(default_factory=list)
    late_decoded: int = 0
    late_padded: int = 0
    late_sent: int = 0

    @property
    def ratio(self) -> float:
        return self.late_decoded / self.late_sent

    @property
    def padded_ratio(self) -> float:
        return self.late_padded / self.late_sent


def simulate(
    rate: float, *, decoder: Decoder = SNAC, seconds: float = 10.0, decode_s_per_frame: float = 0.0005, lead: int = 1
) -> Outcome:
    """One speech of `seconds` whose tokens come at `rate` times real time."""
    schedule = ChunkSchedule(decoder, start_lead_frames=lead)
    total = round(seconds * FRAMES_PER_SECOND)
    interval_s = 1.0 / (rate * FRAMES_PER_SECOND)
    outcome, now_s, arrived, taken, sent_samples = Outcome(), 0.0, 0, 0, 0
    while taken < total:
        while arrived < total and (arrived + 1) * interval_s <= now_s + 1e-9:
            arrived += 1
            schedule.received(1, arrived * interval_s)
        decision = schedule.decide(now_s)
        if decision.take_frames == 0:
            if arrived == total and decision.wait_s == float("inf"):
                break
            now_s = min(now_s + decision.wait_s, (arrived + 1) * interval_s if arrived < total else float("inf"))
            continue
        taken += decision.take_frames
        outcome.takes.append(decision.take_frames)
        needed = min(taken, decision.take_frames + context_frames(decoder))
        bucket = next(b for b in decoder.bucket_frames if b >= needed)
        now_s += bucket * decode_s_per_frame
        schedule.decoded(bucket, bucket * decode_s_per_frame)
        final = taken * SAMPLES_PER_FRAME - decoder.receptive_field_samples
        outcome.first_send_s = outcome.first_send_s or now_s
        dry_s = outcome.first_send_s + sent_samples / SAMPLE_RATE_HZ
        outcome.stalls += sent_samples > 0 and now_s > dry_s + 0.060
        if sent_samples > SAMPLE_RATE_HZ:
            outcome.late_decoded += needed
            outcome.late_padded += bucket
            outcome.late_sent += decision.take_frames
        schedule.sent(final - sent_samples, now_s)
        sent_samples = final
    return outcome


@pytest.mark.parametrize("rate", [1.02, 1.1, 1.3, 1.52, 2.0, 2.6, 5.0])
@pytest.mark.parametrize("decoder", [SNAC, SHORT_REACH])
def test_a_listener_with_60_ms_of_buffer_never_runs_dry(rate: float, decoder: Decoder) -> None:
    assert simulate(rate, decoder=decoder).stalls == 0


@pytest.mark.parametrize(("rate", "frames"), [(2.6, 3), (1.52, 4)])
def test_the_first_chunk_comes_as_soon_as_it_can(rate: float, frames: int) -> None:
    assert simulate(rate).takes[0] == frames


def test_a_short_reach_speaks_after_two_frames() -> None:
    assert simulate(2.6, decoder=SHORT_REACH).takes[0] == 2


@pytest.mark.parametrize(("rate", "real", "padded"), [(2.6, 1.15, 1.25), (1.3, 1.5, 1.7)])
def test_samples_decoded_per_sample_sent_after_the_first_second(rate: float, real: float, padded: float) -> None:
    outcome = simulate(rate)
    assert outcome.ratio <= real
    assert outcome.padded_ratio <= padded


def test_under_overload_chunks_grow() -> None:
    slow_decoder = simulate(2.6, decode_s_per_frame=0.05)
    assert max(slow_decoder.takes) > 10


def test_no_chunk_is_larger_than_the_largest_bucket_allows() -> None:
    burst = simulate(500.0, seconds=60.0)
    assert max(burst.takes) <= SNAC.bucket_frames[-1] - context_frames(SNAC)
