"""The way out of one stream: its responses, and exactly one end."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from orpheus_bls.report import FinishReason, Stats
from orpheus_core.errors import SpeechError
from orpheus_core.pcm import Pcm


class Wire(Protocol):
    """What Triton's response sender does; not to be touched after an end was sent."""

    def audio(self, samples: Pcm) -> None:
        """A response with samples."""

    def final(self, samples: Pcm, reason: FinishReason, stats: Stats) -> None:
        """The last samples, with the FINAL flag."""

    def error(self, error: SpeechError) -> None:
        """The error, with the FINAL flag."""

    def is_cancelled(self) -> bool:
        """Whether the caller has cancelled; a round trip to the server."""


@dataclass(frozen=True, slots=True)
class End:
    """How a stream ended: as speech, with reason and stats, or with an error."""

    reason: FinishReason | None = None
    stats: Stats | None = None
    error: SpeechError | None = None


class Outlet:
    """Guards a wire: what comes after the end is dropped, whoever sends it.

    Triton 24.10 reads freed memory when it is asked about a stream after its end, so everything goes through one lock.
    It is held for one message only, never around a nested call.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._lock = threading.Lock()
        self._ended = False
        self.on_end: Callable[[End], None] = _nothing
        """Called once, just before the end is sent."""

    @property
    def ended(self) -> bool:
        """Whether the end has been sent, or is being sent."""
        return self._ended

    def send(self, samples: Pcm) -> bool:
        """Samples for the caller; false if the stream has ended."""
        with self._lock:
            if self._ended:
                return False
            self._wire.audio(samples)
        return True

    def finish(self, samples: Pcm, reason: FinishReason, stats: Stats) -> None:
        """Ends the stream as speech, unless it has ended."""
        end = End(reason=reason, stats=stats)
        self._end(end, lambda: self._wire.final(samples, reason, stats), blocking=True)

    def fail(self, error: SpeechError) -> None:
        """Ends the stream with an error, unless it has ended."""
        self._end(End(error=error), lambda: self._wire.error(error), blocking=True)

    def try_fail(self, error: SpeechError) -> None:
        """Like `fail`, but does nothing while a message is being sent."""
        self._end(End(error=error), lambda: self._wire.error(error), blocking=False)

    def try_cancelled(self) -> bool:
        """Whether the caller is gone; false when the stream has ended or a message is being sent just now."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return not self._ended and self._wire.is_cancelled()
        finally:
            self._lock.release()

    def _end(self, end: End, tell: Callable[[], None], *, blocking: bool) -> None:
        if not self._claim_end(blocking=blocking):
            return
        # Before the message: its reader may ask for the next speech at once, and must find the slot free.
        try:
            self.on_end(end)
        finally:
            tell()

    def _claim_end(self, *, blocking: bool) -> bool:
        """Takes the right to end the stream: after this nobody else uses the wire."""
        if not self._lock.acquire(blocking=blocking):
            return False
        # Before the message, not after: one that fails half way is not tried again.
        ended, self._ended = self._ended, True
        self._lock.release()
        return not ended


def _nothing(_end: End) -> None:
    """For a stream that was refused before it began."""
