"""When to decode, and how much: small chunks while a listener waits, large ones once he has a lead.

Larger chunks decode fewer samples twice and send fewer messages; smaller ones come sooner. So the first chunk goes as
soon as it can, and every further one waits until the listener, who is taken to play in real time from the first chunk
on, would otherwise run dry.
"""

import math
from collections import deque
from dataclasses import dataclass

from orpheus_core.checkpoint import Decoder
from orpheus_core.layout import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from orpheus_core.window import context_frames

MARGIN_S = 0.030
"""Kept in the listener's buffer for the way there: scheduling of threads, the network."""

DECODE_SAFETY = 2.0
"""The next decode may take this many times what the last ones took for a frame."""

DECODE_SHARE = 0.7
"""A decoder that needs more than this of the time that its audio plays cannot keep up with one stream."""

START_LEAD_BELOW_RATE = 1.45
"""Times real time. With SNAC the first chunk is 1387 samples, 58 ms; a frame takes as long at 1.48 times. A little less
is within the buffer of any listener, slower tokens bring the second chunk too late."""

START_LEAD_BELOW_RATE_PACKED = 2.0
"""The same among more than `PACKED_STREAMS`, where chunks come less evenly."""

START_LEAD_BELOW_RATE_SHORT_REACH = 1.1
"""The same for a codec whose reach is within one frame: its first chunk lasts a whole frame."""

CROWDED_STREAMS = 8
"""With more of them live, the cost of each one's chunks counts: one frame at a time, a stream costs more than twice
what it needs to."""

PACKED_STREAMS = 32
"""With more of them, chunks of three frames fill the processor as well: half a lead more makes them five."""

CROWDED_RATES = (0.7, 1.25)
"""Times real time. Above, a lead grows by itself; in between it hardly does, so chunks stay as short as the lead that a
speech began with. Below, every lead is used up soon, and one that is waited for only puts off the first word. The lower
limit allows for a rate that is measured a frame short, since frames that were asked for late count from then."""

MIN_WAIT_S = 0.001
"""A shorter wait is not worth it: what is left of it shrinks with every look."""

MIN_REST_S = 0.010
"""Between two looks at what has come, while there is something to send; half of a frame's time where one is late."""

STALL_S = 0.060
"""A chunk that comes later than this is heard as a stall; a listener's own buffer covers less."""

MOST_RESUMED_FRAMES = 8
"""After stalls, at least so many frames make a chunk while the listener waits anyway. Each one is then decoded with 5/8
of a frame of context instead of five: a server that is too slow gets cheaper instead of dearer."""

RATE_WINDOW_ARRIVALS = 16


@dataclass(frozen=True, slots=True)
class Decision:
    """Decode `take_frames` now, or, when that is 0, look again after `wait_s` or when frames arrive."""

    take_frames: int
    wait_s: float = 0.0
    rest_s: float = 0.0
    """How long frames that arrive would change nothing, if they come as they are expected."""

    @property
    def is_timed(self) -> bool:
        """Whether something is due after `wait_s` without further frames."""
        return self.wait_s < math.inf


WAIT_FOR_FRAMES = Decision(0, math.inf)


def lead_in_crowd(lead_frames: int, live_streams: int) -> int:
    """How much of a slow speech is held back when so many streams are live; `lead_frames` is for a crowd."""
    if live_streams <= CROWDED_STREAMS:
        return 0
    return lead_frames if live_streams <= PACKED_STREAMS else lead_frames * 3 // 2


class ChunkSchedule:
    """The pace of one stream. All times are readings of one monotonic clock, in seconds.

    Args:
        start_lead_frames: held back before the first chunk when tokens come slowly.
        crowded_lead_frames: the same in a crowd when they come within `CROWDED_RATES`, if that is to be more.
        live_streams: how many speak when this one begins.
    """

    def __init__(
        self, decoder: Decoder, *, start_lead_frames: int = 1, crowded_lead_frames: int = 0, live_streams: int = 1
    ) -> None:
        self._buckets = decoder.bucket_frames
        self._context_frames = context_frames(decoder)
        self.max_take_frames = self._buckets[-1] - self._context_frames
        """New frames that the largest window decodes."""
        lengths = range(self._context_frames, self._buckets[-1] + 1)
        self._bucket_of = [next(bucket for bucket in self._buckets if bucket >= length) for length in lengths]
        self._first_exact_frames = decoder.receptive_field_samples // SAMPLES_PER_FRAME + 1
        short_reach = decoder.receptive_field_samples <= SAMPLES_PER_FRAME
        usual = START_LEAD_BELOW_RATE if live_streams <= PACKED_STREAMS else START_LEAD_BELOW_RATE_PACKED
        self._lead_below_rate = START_LEAD_BELOW_RATE_SHORT_REACH if short_reach else usual
        self._start_lead_frames = start_lead_frames
        self._crowded_lead_frames = lead_in_crowd(crowded_lead_frames, live_streams)
        self._arrivals: deque[tuple[float, int]] = deque(maxlen=RATE_WINDOW_ARRIVALS)
        self._received_frames = self._taken_frames = self._sent_samples = 0
        self._play_start_s: float | None = None
        self._decode_s_per_frame = 0.0
        self._resume_frames = 1

    def received(self, frames: int, now_s: float) -> None:
        """Frames have come from the language model."""
        if frames:
            self._received_frames += frames
            self._arrivals.append((now_s, self._received_frames))

    def decoded(self, padded_frames: int, took_s: float) -> None:
        """A decode of so many frames, at least one, padding included, took so long."""
        cost_s = took_s / padded_frames
        self._decode_s_per_frame += (cost_s - self._decode_s_per_frame) * (0.3 if self._decode_s_per_frame else 1.0)

    def sent(self, samples: int, now_s: float) -> None:
        """Samples have gone to the listener."""
        if samples and self._play_start_s is None:
            self._play_start_s = now_s
        elif samples and self._lead_s(now_s) < -STALL_S:
            # The listener has waited as well, and plays on from here.
            self._play_start_s = now_s - self._sent_samples / SAMPLE_RATE_HZ
            self._resume_frames = min(2 * self._resume_frames, MOST_RESUMED_FRAMES)
        self._sent_samples += samples

    def decide(self, now_s: float) -> Decision:
        """What to do now; frames that it says to take count as taken."""
        pending_frames = self._received_frames - self._taken_frames
        if self._taken_frames == 0 and pending_frames < self._start_frames():
            return WAIT_FOR_FRAMES
        if pending_frames == 0:
            return Decision(0, math.inf, rest_s=max(0.0, self._rest_s(0, now_s)))
        if pending_frames < self._least_frames(now_s):
            return WAIT_FOR_FRAMES
        spare_s = self._spare_s(pending_frames, now_s)
        if pending_frames < self.max_take_frames and spare_s > max(MIN_WAIT_S, self._next_arrival_s(now_s)):
            next_s = self._next_arrival_s(now_s)
            # A frame that is late may be long in coming.
            soonest_s = max(MIN_REST_S, next_s if next_s > 0.0 else self._frame_s() / 2)
            return Decision(0, spare_s, rest_s=min(max(self._rest_s(pending_frames, now_s), soonest_s), spare_s))
        take_frames = self._take(pending_frames, now_s)
        self._taken_frames += take_frames
        return Decision(take_frames)

    def rate(self) -> float:
        """Speech-time per second over the last arrivals, as a multiple of real time; infinite if unknown."""
        arrivals, frames, took_s = self._measured()
        return frames / took_s / FRAMES_PER_SECOND if arrivals and took_s > 0.0 else math.inf

    def _measured(self) -> tuple[int, int, float]:
        """Arrivals after the first one that is remembered, their frames, and the seconds they took."""
        if not self._arrivals:
            return 0, 0, 0.0
        (first_s, first_frames), (last_s, last_frames) = self._arrivals[0], self._arrivals[-1]
        return len(self._arrivals) - 1, last_frames - first_frames, last_s - first_s

    def _next_arrival_s(self, now_s: float) -> float:
        """Seconds until a frame is expected; below 0 when it is late, 0 if unknown. How many came at once only says how
        seldom they were asked for."""
        return self._arrivals[-1][0] + frame_s - now_s if (frame_s := self._frame_s()) else 0.0

    def _frame_s(self) -> float:
        """Seconds from one frame to the next, on average; 0 if unknown."""
        _, frames, took_s = self._measured()
        return took_s / frames if frames else 0.0

    def _start_frames(self) -> int:
        rate = self.rate()
        lead = self._start_lead_frames if rate < self._lead_below_rate else 0
        slowest, fastest = CROWDED_RATES
        crowded_lead = self._crowded_lead_frames if slowest <= rate < fastest else 0
        return self._first_exact_frames + max(lead, crowded_lead)

    def _lead_s(self, now_s: float) -> float:
        """Seconds of sound that the listener still has."""
        if self._play_start_s is None:
            return -math.inf
        return self._sent_samples / SAMPLE_RATE_HZ - (now_s - self._play_start_s)

    def _spare_s(self, pending_frames: int, now_s: float) -> float:
        """How long a decode of what has come, and a frame more, can wait and still be in time."""
        return self._lead_s(now_s) - DECODE_SAFETY * self._decode_s(pending_frames + 1) - MARGIN_S

    def _decode_s(self, frames: int) -> float:
        """What the window with so many new frames is likely to take."""
        return self._decode_s_per_frame * self._bucket(frames)

    def _rest_s(self, pending_frames: int, now_s: float) -> float:
        """As `_spare_s`, for the frames that will have come by then as well."""
        lead_s = self._lead_s(now_s)
        coming_frames = self.rate() * lead_s * FRAMES_PER_SECOND if lead_s > 0.0 else 0.0
        return self._spare_s(int(min(pending_frames + coming_frames, self.max_take_frames)), now_s)

    def _least_frames(self, now_s: float) -> int:
        """What a further chunk waits for even if the listener runs dry meanwhile."""
        if self._taken_frames == 0:
            return 1
        resumed = self._resume_frames if self._lead_s(now_s) < -STALL_S else 1
        return max(resumed, self._affordable_frames())

    def _affordable_frames(self) -> int:
        """The smallest chunk whose decode takes well less than it plays: smaller ones only put off the stall."""
        for frames in range(1, self.max_take_frames):
            if self._decode_s(frames) <= DECODE_SHARE * frames / FRAMES_PER_SECOND:
                return frames
        return self.max_take_frames

    def _take(self, pending_frames: int, now_s: float) -> int:
        """Everything when the listener is dry, else as many as fill a bucket best."""
        most = min(pending_frames, self.max_take_frames)
        if self._taken_frames == 0 or self._lead_s(now_s) <= 0.0:
            return most
        in_time = [n for n in range(1, most + 1) if self._decode_s(n) <= self._lead_s(now_s)]
        return max(in_time or (most,), key=lambda frames: (frames / self._bucket(frames), frames))

    def _bucket(self, frames: int) -> int:
        """Length of the window that decodes so many new frames."""
        return self._bucket_of[min(frames, self.max_take_frames)]
