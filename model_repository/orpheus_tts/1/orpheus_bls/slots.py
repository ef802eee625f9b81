"""Who may speak: the cap of one instance, and the threads that nested calls may hold."""

import threading
from collections.abc import Callable
from typing import TypeVar

from orpheus_core.errors import EngineUnavailable, Full

T = TypeVar("T")

RESERVED_THREADS = 8
"""Of Triton's pool, kept for calls that cancel others: without them a full pool could not be emptied."""

CALLS_PER_STREAM = 2
"""A live stream may wait for its decoder while a thread of its own follows its language model."""


class Slots:
    """Counts live streams, and the calls that outlive their streams.

    A nested call holds a thread of Triton's pool until its first response, one to a model that never answers for ever,
    also when its stream has long ended. Beyond the pool nested calls would wait for each other without end, so no
    stream is let in that might need one of the reserved threads.

    Args:
        max_streams: live streams besides a probe.
        pool_threads: Triton's `thread-pool-size`.
    """

    def __init__(self, max_streams: int, pool_threads: int) -> None:
        self._max_streams = max_streams
        self._max_held = max(CALLS_PER_STREAM, pool_threads - RESERVED_THREADS)
        self._lock = threading.Lock()
        self._live = 0
        self._left_behind = 0
        self._probing = False

    @property
    def live(self) -> int:
        """Streams that speak now, a probe not counted."""
        return self._live

    def take(self, *, probe: bool) -> "Slot":
        """A slot for one stream.

        Raises:
            Full: there is none.
            EngineUnavailable: so many calls of ended streams wait for an answer that others might wait for ever.
        """
        with self._lock:
            if self._probing if probe else self._live >= self._max_streams:
                raise Full("a probe is speaking" if probe else f"all {self._max_streams} streams are taken")
            speaking = self._live + self._probing + 1
            if CALLS_PER_STREAM * speaking + self._left_behind > self._max_held:
                raise EngineUnavailable("stalled, too many calls wait for an answer")
            if probe:
                self._probing = True
            else:
                self._live += 1
            live = self._live
        return Slot(self, probe=probe, live=live)

    def free(self, *, probe: bool, calls: int) -> None:
        """A stream has ended, with so many calls unanswered."""
        with self._lock:
            self._left_behind += calls
            if probe:
                self._probing = False
            else:
                self._live -= 1

    def answered(self) -> None:
        """A call has been answered after its stream had ended."""
        with self._lock:
            self._left_behind -= 1


class Slot:
    """One stream's place.

    Args:
        live: streams that speak when it is taken, this one included unless it is a probe's.
    """

    def __init__(self, slots: Slots, *, probe: bool, live: int) -> None:
        self.live = live
        self._slots = slots
        self._probe = probe
        self._lock = threading.Lock()
        self._calls = 0
        self._is_free = False

    def call(self, make: Callable[[], T]) -> T:
        """What a nested call returns that may hold a thread until then; raises as it does."""
        with self._lock:
            # A call of a stream that has ended already counts with those that it left behind.
            counted = not self._is_free
            self._calls += counted
        try:
            return make()
        finally:
            with self._lock:
                self._calls -= counted
                late = counted and self._is_free
            if late:
                self._slots.answered()

    def free(self) -> None:
        """The stream has ended; to be called once."""
        with self._lock:
            self._is_free = True
            calls = self._calls
        self._slots.free(probe=self._probe, calls=calls)
