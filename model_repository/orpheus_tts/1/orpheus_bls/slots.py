"""Who may speak: the cap of one instance, and the threads that nested calls may hold."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orpheus_core.errors import EngineUnavailable, Full

RESERVED_THREADS = 8
"""Of Triton's pool, kept for calls that cancel others: without them a full pool could not be emptied."""


class Slots:
    """Counts live streams, and nested calls that hold a thread of Triton's pool.

    A call holds its thread until its first response, one to a model that never answers for ever, also when its stream
    has long ended. Beyond the pool nested calls would wait for each other without end, so no stream is let in that
    might need one of the reserved threads.

    Args:
        max_streams: live streams besides a probe.
        pool_threads: Triton's `thread-pool-size`.
    """

    def __init__(self, max_streams: int, pool_threads: int) -> None:
        self._max_streams = max_streams
        self._max_held = max(1, pool_threads - RESERVED_THREADS)
        self._lock = threading.Lock()
        self._live = 0
        self._calls = 0
        self._probing = False

    @property
    def live(self) -> int:
        """Streams that speak now, a probe not counted."""
        return self._live

    def take(self, *, probe: bool) -> None:
        """A slot for one stream; every one taken is given back by `free`.

        Raises:
            Full: there is none.
            EngineUnavailable: so many calls wait for an answer that another one might wait for ever.
        """
        with self._lock:
            if self._probing if probe else self._live >= self._max_streams:
                raise Full("a probe is speaking" if probe else f"all {self._max_streams} streams are taken")
            if self._live + self._probing + self._calls >= self._max_held:
                raise EngineUnavailable("stalled, too many calls wait for an answer")
            if probe:
                self._probing = True
            else:
                self._live += 1

    def free(self, *, probe: bool) -> None:
        """A stream has ended."""
        with self._lock:
            if probe:
                self._probing = False
            else:
                self._live -= 1

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around a nested call as long as it holds a thread."""
        with self._lock:
            self._calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
