"""Two ways from frames to samples: stages that take one frame after another, `push(frame) -> samples`, and `flush`."""

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from orpheus_core.checkpoint import Decoder
from orpheus_core.layout import SAMPLES_PER_FRAME
from orpheus_core.pcm import Pcm, no_samples, to_pcm
from orpheus_core.schedule import ChunkSchedule
from orpheus_core.tokens import Frames
from orpheus_core.window import ExactWindow, Window, no_frames

Decode = Callable[[Frames, int], npt.NDArray[np.float32]]
"""Codes [F, 7], of which the first n are real, to audio [2048 * F]."""

SLIDING_FRAMES = 4
"""The Orpheus package decodes the last 28 tokens for every 7 that come, and keeps the second quarter of the audio
(its documentation; `orpheus_tts.decoder`)."""


class Stage(Protocol):
    """Frames in, samples out."""

    @property
    def decoded_frames(self) -> int:
        """Over all windows."""

    def push(self, frame: Frames) -> Pcm:
        """Samples that are ready with one more frame [1, 7]."""

    def flush(self) -> Pcm:
        """What is left."""


class SlidingWindow:
    """As the Orpheus package's documentation describes it: the first frame and the last two are never heard."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._recent = no_frames()
        self._windows = 0

    @property
    def decoded_frames(self) -> int:
        return SLIDING_FRAMES * self._windows

    def push(self, frame: Frames) -> Pcm:
        self._recent = np.concatenate((self._recent, frame))[-SLIDING_FRAMES:]
        if len(self._recent) < SLIDING_FRAMES:
            return no_samples()
        self._windows += 1
        return to_pcm(self._decode(self._recent, SLIDING_FRAMES)[SAMPLES_PER_FRAME : 2 * SAMPLES_PER_FRAME])

    def flush(self) -> Pcm:
        return no_samples()


class ScheduledWindow:
    """This project's window and schedule, fed by hand."""

    def __init__(self, decode: Decode, decoder: Decoder, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._decode = decode
        self._schedule = ChunkSchedule(decoder)
        self._window = ExactWindow(self._timed, decoder)
        self._pending = no_frames()

    @property
    def decoded_frames(self) -> int:
        return self._window.decoded_frames

    def push(self, frame: Frames) -> Pcm:
        self._schedule.received(len(frame), self._clock())
        self._pending = np.concatenate((self._pending, frame))
        decision = self._schedule.decide(self._clock())
        taken, self._pending = self._pending[: decision.take_frames], self._pending[decision.take_frames :]
        if not len(taken):
            return no_samples()
        samples = self._window.push(taken)
        self._schedule.sent(len(samples), self._clock())
        return samples

    def flush(self) -> Pcm:
        return self._window.flush(self._pending)

    def _timed(self, window: Window) -> npt.NDArray[np.float32]:
        started_s = self._clock()
        audio = self._decode(window.codes, int(window.valid[1]))
        self._schedule.decoded(len(window.codes), self._clock() - started_s)
        return audio
