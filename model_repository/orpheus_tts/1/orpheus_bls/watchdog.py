"""Ends the streams that are late, and those whose callers have gone."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from orpheus_core.errors import SpeechError

INTERVAL_S = 0.1
"""A cancel is seen within this; each look is a round trip to the server for each stream."""


class Watched(Protocol):
    """A stream as the watchdog sees it."""

    def check(self, now_s: float) -> bool:
        """Ends itself if it must; whether it is still to be watched. Never blocks."""

    def fail(self, error: SpeechError) -> None:
        """Ends itself."""


class Watchdog:
    """One thread for all streams of an instance. Nested calls have no time-out of their own, so this is theirs.

    Args:
        log: told of what went wrong.
    """

    def __init__(self, log: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._streams: set[Watched] = set()
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def watch(self, stream: Watched) -> None:
        """From now on, until it says that it has ended."""
        with self._lock:
            self._streams.add(stream)

    def stop(self, error: SpeechError) -> None:
        """No more looks; what is still live ends with `error`."""
        self._stopped.set()
        for stream in self._watched():
            stream.fail(error)

    def _watched(self) -> list[Watched]:
        with self._lock:
            return list(self._streams)

    def _watch(self) -> None:
        while not self._stopped.wait(INTERVAL_S):
            for stream in self._watched():
                if not self._is_live(stream):
                    with self._lock:
                        self._streams.discard(stream)

    def _is_live(self, stream: Watched) -> bool:
        try:
            return stream.check(self._clock())
        except Exception as error:  # the other streams need their watchdog
            self._log(f"a look at a stream failed: {type(error).__name__}")
            return True
