"""A second participant that records, and what to say of the record."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from livekit import api, rtc

from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm, no_samples

WINDOW_SAMPLES = SAMPLE_RATE_HZ // 100
QUIET_LEVEL = 300
"""int16; the tones of these tests are far above, Opus' own noise far below."""


def tone(hz: float, seconds: float, *, level: int = 10_000) -> Pcm:
    """A sine with 5 ms edges."""
    times_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    samples: npt.NDArray[np.float64] = level * np.sin(2 * np.pi * hz * times_s)
    edge = np.linspace(0, 1, SAMPLE_RATE_HZ // 200)
    samples[: len(edge)] *= edge
    samples[len(samples) - len(edge) :] *= edge[::-1]
    return samples.round().astype(np.int16)


class Speech:
    """Samples as an asynchronous iterator that knows what became of it."""

    def __init__(self, samples: Pcm, *, chunk_samples: int = 2048, pace: float = 0.0) -> None:
        self._samples = samples
        self._chunk_samples = chunk_samples
        self._pace = pace
        """Times real time; 0 for as fast as it is read."""
        self.given_samples = 0
        self.is_closed = False

    def __aiter__(self) -> AsyncIterator[Pcm]:
        return self

    async def __anext__(self) -> Pcm:
        chunk = self._samples[self.given_samples : self.given_samples + self._chunk_samples]
        if not len(chunk) or self.is_closed:
            raise StopAsyncIteration
        await asyncio.sleep(len(chunk) / SAMPLE_RATE_HZ / self._pace if self._pace else 0)
        self.given_samples += len(chunk)
        return chunk

    async def aclose(self) -> None:
        self.is_closed = True


@dataclass(frozen=True, slots=True)
class Stretch:
    """An unbroken piece of sound."""

    start_s: float
    """In the record."""
    seconds: float
    hz: float
    level: float
    """Peak of the sine with its power."""


class Listener:
    """Records whatever the one other participant publishes, 24 kHz mono."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._frames: list[Pcm] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.first_audible_s: float | None = None
        """Time of the event loop."""
        self.tracks = 0
        room.on("track_subscribed", self._on_track)

    @property
    def record(self) -> Pcm:
        return np.concatenate((no_samples(), *self._frames))

    @property
    def recorded_s(self) -> float:
        return sum(map(len, self._frames)) / SAMPLE_RATE_HZ

    async def until_recorded(self, seconds: float, *, timeout_s: float = 20.0) -> None:
        """Until so much sound has arrived, silence before and between not counted."""
        async with asyncio.timeout(timeout_s):
            while sum(stretch.seconds for stretch in self.heard()) < seconds:  # noqa: ASYNC110  (sound comes when it comes)
                await asyncio.sleep(0.05)

    def heard(self) -> list[Stretch]:
        """The record as stretches of sound."""
        return stretches(self.record)

    async def leave(self) -> None:
        await self._room.disconnect()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_track(self, track: rtc.Track, *_details: object) -> None:
        self.tracks += 1
        # The track of a participant that was replaced may go on as a copy of its successor's.
        for task in self._tasks:
            task.cancel()
        self._tasks.add(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=SAMPLE_RATE_HZ, num_channels=1)
        try:
            async for event in stream:
                samples = np.frombuffer(event.frame.data, dtype=np.int16).copy()
                self._frames.append(samples)
                if self.first_audible_s is None and np.abs(samples.astype(np.int32)).max() >= QUIET_LEVEL:
                    self.first_audible_s = asyncio.get_running_loop().time()
        finally:
            await stream.aclose()


@contextlib.asynccontextmanager
async def listening(variables: dict[str, str], room_name: str, identity: str = "listener") -> AsyncIterator[Listener]:
    """A listener in the room, until the end of the context."""
    room = rtc.Room()
    listener = Listener(room)
    await room.connect(variables["LIVEKIT_URL"], listener_token(variables, room_name, identity))
    try:
        yield listener
    finally:
        await listener.leave()


def listener_token(variables: dict[str, str], room_name: str, identity: str) -> str:
    grants = api.VideoGrants(room_join=True, room=room_name)
    token = api.AccessToken(variables["LIVEKIT_API_KEY"], variables["LIVEKIT_API_SECRET"]).with_identity(identity)
    return token.with_grants(grants).with_ttl(datetime.timedelta(minutes=5)).to_jwt()


def stretches(record: Pcm, *, longest_gap_s: float = 0.02) -> list[Stretch]:
    """Pieces of sound between silences longer than `longest_gap_s`."""
    loud = _loud_windows(record)
    if not loud.any():
        return []
    positions = np.flatnonzero(loud)
    breaks = np.flatnonzero(np.diff(positions) > longest_gap_s * SAMPLE_RATE_HZ / WINDOW_SAMPLES + 1)
    starts = [positions[0], *positions[breaks + 1]]
    ends = [*positions[breaks], positions[-1]]
    return [_stretch(record, int(start), int(end) + 1) for start, end in zip(starts, ends, strict=True)]


def _loud_windows(record: Pcm) -> npt.NDArray[np.bool_]:
    whole = record[: len(record) - len(record) % WINDOW_SAMPLES].astype(np.int32)
    loud: npt.NDArray[np.bool_] = np.abs(whole).reshape(-1, WINDOW_SAMPLES).max(axis=1) >= QUIET_LEVEL
    return loud


def _stretch(record: Pcm, start: int, end: int) -> Stretch:
    samples = record[start * WINDOW_SAMPLES : end * WINDOW_SAMPLES].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), n=1 << 18))
    return Stretch(
        start_s=start * WINDOW_SAMPLES / SAMPLE_RATE_HZ,
        seconds=len(samples) / SAMPLE_RATE_HZ,
        hz=float(np.argmax(spectrum)) * SAMPLE_RATE_HZ / (1 << 18),
        level=float(np.sqrt(2 * np.mean(samples**2))),
    )
