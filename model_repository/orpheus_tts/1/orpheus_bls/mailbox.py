"""Frames on their way from the reader to the speaker of one stream."""

import threading
from dataclasses import dataclass

import numpy as np

from orpheus_bls.report import FinishReason
from orpheus_core.tokens import Frames
from orpheus_core.window import no_frames


@dataclass(frozen=True, slots=True)
class Arrival:
    """Frames [n, 7] that came at once."""

    frames: Frames
    at_s: float


@dataclass(frozen=True, slots=True)
class Completion:
    """Why no more frames will come."""

    reason: FinishReason
    dropped_tokens: int


class Mailbox:
    """A queue that the speech itself bounds: at most the frames of its budget lie in it (60 s are 40 kB)."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrivals: list[Arrival] = []
        self._completion: Completion | None = None
        self._closed = False

    def put(self, frames: Frames, at_s: float) -> None:
        """Frames from the language model."""
        with self._changed:
            self._arrivals.append(Arrival(frames, at_s))
            self._changed.notify()

    def complete(self, completion: Completion) -> None:
        """No more frames will come."""
        with self._changed:
            self._completion = completion
            self._changed.notify()

    def close(self) -> None:
        """The stream has ended: whoever waits need not wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def take(self, timeout_s: float) -> tuple[list[Arrival], Completion | None]:
        """What has arrived, waiting for it at most so long, and whether that was all; nothing waits after `close`."""
        with self._changed:
            if not (self._arrivals or self._completion or self._closed):
                self._changed.wait(timeout_s)
            arrivals, self._arrivals = self._arrivals, []
            return arrivals, self._completion


def joined(arrivals: list[Arrival]) -> Frames:
    """All frames in their order, [n, 7]."""
    return np.concatenate([arrival.frames for arrival in arrivals]) if arrivals else no_frames()
