"""The one thread that talks to Triton about answers, so that the engine's loop never waits for Triton."""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Call = Callable[[], None]

logger = logging.getLogger(__name__)


class Courier:
    """Runs calls one after the other, in the order in which they were given.

    Whoever gives one awaits it before the next (`ask`), or ends with it (`post`), so there are never more waiting than
    requests are live. The thread is a daemon: a call that hangs cannot keep the process from ending.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="answers", daemon=True)
        self._thread.start()

    def post(self, call: Call) -> None:
        """Returns at once; an exception is logged."""
        self._calls.put(call)

    async def ask(self, call: Callable[[], T]) -> T:
        """Waits for the call's result, or for its exception. A cancelled wait does not recall the call."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                result = call()
            except Exception as error:  # handed to who waits
                loop.call_soon_threadsafe(_fail, future, error)
            else:
                loop.call_soon_threadsafe(_settle, future, result)

        self._calls.put(work)
        return await future

    def close(self, timeout_s: float) -> bool:
        """Runs what was given so far and ends; whether that was done in time."""
        self._calls.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while call := self._calls.get():
            try:
                call()
            except Exception:  # one call must not end the thread that all need
                logger.exception("answer_failed")


def _settle(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[T]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
