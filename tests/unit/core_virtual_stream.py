"""One stream in virtual time: a language model that writes at a given rate, the schedule, the window, a listener."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from orpheus_bls.speaker import LONGEST_REST_S, READY_S
from orpheus_core.checkpoint import Decoder
from orpheus_core.layout import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from orpheus_core.schedule import CROWDED_STREAMS, ChunkSchedule, Decision
from orpheus_core.tokens import Frames
from orpheus_core.window import ExactWindow, Window

SNAC = Decoder()
SHORT_REACH = Decoder(receptive_field_samples=SAMPLES_PER_FRAME)
LISTENER_BUFFER_S = 0.060
MOST_LOOKS_PER_FRAME = 4


def steady(rate: float, frames: int, *, jitter_s: float = 0.0, seed: int = 0) -> list[float]:
    """When each frame arrives: `rate` times real time, each late by up to `jitter_s`."""
    late_s = np.random.default_rng(seed).uniform(0.0, jitter_s, frames)
    even_s = np.arange(1, frames + 1) / (rate * FRAMES_PER_SECOND)
    return [float(at_s) for at_s in np.sort(even_s + late_s)]


@dataclass(slots=True)
class Tally:
    """Frames over some windows."""

    decoded: int = 0
    padded: int = 0
    sent: float = 0.0

    @property
    def ratio(self) -> float:
        """Decoded for each one sent, the real ones of each window."""
        return self.decoded / self.sent

    @property
    def padded_ratio(self) -> float:
        """The same with the padding."""
        return self.padded / self.sent


@dataclass
class VirtualStream:
    """Runs when it is made; the attributes tell what happened."""

    arrivals_s: Sequence[float]
    decoder: Decoder = SNAC
    decode_s_per_frame: float = 0.0005
    start_lead_frames: int = 1
    crowded_lead_frames: int = 0
    live_streams: int = CROWDED_STREAMS + 1
    takes: list[int] = field(default_factory=list)
    """New frames of each chunk."""
    stalls: int = 0
    """Chunks that came later than a listener's buffer lasts."""
    late: Tally = field(default_factory=Tally)
    """What was decoded once the first second had been sent."""
    looks: int = 0
    started_s: float = 0.0
    """When the first chunk was sent."""
    asked: int = 0
    """Times that the language model was asked for frames."""

    def __post_init__(self) -> None:
        self._now_s = 0.0
        self._arrived = self._taken = self._sent_samples = 0
        self._play_start_s = 0.0
        self._schedule = ChunkSchedule(
            self.decoder,
            start_lead_frames=self.start_lead_frames,
            crowded_lead_frames=self.crowded_lead_frames,
            live_streams=self.live_streams,
        )
        self._window = ExactWindow(self._decode, self.decoder)
        while self._taken < len(self.arrivals_s):
            self._step()

    def _step(self) -> None:
        self.looks += 1
        assert self.looks <= MOST_LOOKS_PER_FRAME * len(self.arrivals_s), "the schedule spins"
        if self._arrived == len(self.arrivals_s):
            self._chunk(self._arrived - self._taken, last=True)
            return
        decision = self._schedule.decide(self._now_s)
        if decision.take_frames:
            self._chunk(decision.take_frames, last=False)
        else:
            self._listen(decision)

    def _listen(self, decision: Decision) -> None:
        """As the speaker does."""
        if decision.is_timed and decision.rest_s <= 2 * READY_S:
            self._now_s += decision.rest_s
            return
        self._now_s += min(max(0.0, decision.rest_s - READY_S), LONGEST_REST_S)
        if not decision.is_timed:
            self._now_s = max(self._now_s, self.arrivals_s[self._arrived])
        self.asked += 1
        frames = sum(at_s <= self._now_s for at_s in self.arrivals_s) - self._arrived
        self._schedule.received(frames, self._now_s)
        self._arrived += frames

    def _chunk(self, frames: int, *, last: bool) -> None:
        window, is_late = self._window, self._sent_samples > SAMPLE_RATE_HZ
        decoded, padded = window.decoded_frames, window.padded_frames
        codes: Frames = np.zeros((frames, TOKENS_PER_FRAME), dtype=np.int64)
        samples = len(window.flush(codes) if last else window.push(codes))
        self.takes.append(frames)
        self._taken += frames
        self._hear(samples)
        if is_late:
            self.late.decoded += window.decoded_frames - decoded
            self.late.padded += window.padded_frames - padded
            self.late.sent += samples / SAMPLES_PER_FRAME

    def _decode(self, window: Window) -> npt.NDArray[np.float32]:
        took_s = len(window.codes) * self.decode_s_per_frame
        self._now_s += took_s
        self._schedule.decoded(len(window.codes), took_s)
        return np.zeros(len(window.codes) * SAMPLES_PER_FRAME, dtype=np.float32)

    def _hear(self, samples: int) -> None:
        if self._sent_samples == 0:
            self._play_start_s = self.started_s = self._now_s
        dry_s = self._play_start_s + self._sent_samples / SAMPLE_RATE_HZ
        self.stalls += self._now_s > dry_s + LISTENER_BUFFER_S
        self._schedule.sent(samples, self._now_s)
        self._sent_samples += samples
