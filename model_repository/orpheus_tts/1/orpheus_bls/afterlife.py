"""Keeps what Triton still refers to."""

import threading
import time
from collections import deque
from collections.abc import Callable

KEPT_S = 2.0
"""Much longer than Triton takes to forget a finished call, which is a message to the process and back."""


class Afterlife:
    """Holds finished things for a while.

    The stub of Triton's Python backend has a reference of its own to the iterator of a nested decoupled call. It drops
    it in a thread that does not hold Python's lock. If that is the last one, the responses' Python objects are freed
    there, and the interpreter's memory is corrupted. So the last one must be ours.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: deque[tuple[float, object]] = deque()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, thing: object) -> None:
        """Holds it for `KEPT_S`, and lets go of what was held for so long."""
        now_s = self._clock()
        with self._lock:
            self._kept.append((now_s, thing))
            while self._kept[0][0] < now_s - KEPT_S:
                self._kept.popleft()
