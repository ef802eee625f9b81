"""Stops language models that nobody listens to any more."""

import queue
import threading
from collections.abc import Callable

from orpheus_bls.feed import Child
from orpheus_bls.slots import RESERVED_THREADS

MAX_WAITING = 1024
"""More calls are left to their own ends, which their token budgets bound."""


class Canceller:
    """Workers of its own: a cancel may block as long as a model does not answer, and nobody else may wait for that.

    Args:
        log: told of what went wrong.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._waiting: queue.Queue[Child] = queue.Queue(MAX_WAITING)
        for index in range(RESERVED_THREADS):
            threading.Thread(target=self._work, name=f"canceller-{index}", daemon=True).start()

    def cancel(self, child: Child) -> None:
        """Returns at once."""
        try:
            self._waiting.put_nowait(child)
        except queue.Full:
            self._log("cancel dropped: too many wait for models that do not answer")

    def _work(self) -> None:
        while True:
            child = self._waiting.get()
            try:
                child.cancel()
            except Exception as error:  # one that cannot be cancelled must not keep the next from it
                self._log(f"cancel failed: {type(error).__name__}")
