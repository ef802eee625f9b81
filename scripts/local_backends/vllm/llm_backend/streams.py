"""The live requests of one engine: served, watched, and ended exactly once."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Protocol

from llm_backend.courier import Courier
from llm_backend.deltas import Delta, Groups
from llm_backend.early_cancels import EarlyCancels
from llm_backend.errors import Cancelled, EngineDown, EngineFault, InvalidInput, RequestError
from llm_backend.jobs import Answer, Job
from llm_backend.request import Generation

POLL_INTERVAL_S = 0.1
MAX_LIVE = 4096
CANCEL_TIMEOUT_S = 5.0

CALLER_GONE = "the caller cancelled the request"
DEAD = "engine: the language model's engine is dead"
FULL = f"full: {MAX_LIVE} requests are live: try again later"
FAILED = "engine: the request failed"
STOPPED = "engine: the model is being unloaded"

logger = logging.getLogger(__name__)


class Generator(Protocol):
    """What is needed of an engine."""

    @property
    def is_alive(self) -> bool: ...

    def generate(self, generation: Generation) -> AsyncGenerator[Delta, None]: ...


class Streams:
    """Every coroutine runs on the engine's loop.

    Args:
        response_tokens: tokens to a response of a stream, at least.
    """

    def __init__(self, engine: Generator, courier: Courier, *, response_tokens: int) -> None:
        self._engine = engine
        self._courier = courier
        self._response_tokens = response_tokens
        self._early = EarlyCancels()
        self._live: set[Job] = set()
        self._is_closed = False

    @property
    def live(self) -> int:
        """Requests that are being served."""
        return len(self._live)

    async def serve(self, job: Job) -> None:
        """Answers the request, to its end; raises nothing."""
        try:
            with self._entry(job):
                await self._generate(job)
        except asyncio.CancelledError:
            self._courier.post(partial(job.answer.fail, job.stopped_by or EngineDown(STOPPED)))
        except RequestError as error:
            self._courier.post(partial(job.answer.fail, error))
        except Exception as error:  # this request's, whatever it is
            logger.error("request_failed error=%s", type(error).__name__)
            self._courier.post(partial(job.answer.fail, EngineFault(FAILED)))

    async def cancel(self, request_id: str, answer: Answer) -> None:
        """Ends the requests of that id, or the next one to come, and then the call itself."""
        if not request_id:
            error = InvalidInput("request_id: empty: send the id of the request that is to end")
            self._courier.post(partial(answer.fail, error))
            return
        jobs = [job for job in self._live if job.request_id == request_id]
        if not jobs:
            self._early.remember(request_id)
        await self._stop(jobs, Cancelled(CALLER_GONE))
        self._courier.post(answer.end)

    async def watch(self) -> None:
        """Ends the requests whose callers are gone, and all when the engine is dead. Never returns."""
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            try:
                await self._look_after()
            except Exception:  # one request must not end the watch over all
                logger.exception("watch_failed")

    async def close(self) -> None:
        """Ends every request and takes no more."""
        self._is_closed = True
        await self._stop(self._live, EngineDown(STOPPED))

    async def _look_after(self) -> None:
        if not self._engine.is_alive:
            await self._stop(self._live, EngineDown(DEAD))
        elif jobs := list(self._live):
            await self._stop(await self._courier.ask(partial(_abandoned, jobs)), Cancelled(CALLER_GONE))

    @contextmanager
    def _entry(self, job: Job) -> Iterator[None]:
        """The job's time among the live ones, when it may be stopped."""
        if self._early.take(job.request_id):
            raise Cancelled(CALLER_GONE)
        if self._is_closed or not self._engine.is_alive:
            raise EngineDown(STOPPED if self._is_closed else DEAD)
        if len(self._live) >= MAX_LIVE:
            raise EngineDown(FULL)
        job.task = asyncio.current_task()
        self._live.add(job)
        try:
            yield
        finally:
            self._live.discard(job)

    async def _generate(self, job: Job) -> None:
        generation = job.generation
        groups = Groups(self._response_tokens if generation.is_streamed else None)
        async with aclosing(self._engine.generate(generation)) as deltas:
            async for delta in deltas:
                if group := groups.push(delta):
                    # One response in flight for each stream: the engine merges what comes meanwhile.
                    await self._courier.ask(partial(job.answer.send, group))

    async def _stop(self, jobs: Iterable[Job], reason: RequestError) -> None:
        """Returns when the engine has been told, which is at once unless it hangs."""
        tasks = [job.task for job in jobs if job.task is not None]
        for job in list(jobs):
            job.stop(reason)
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_TIMEOUT_S)


def _abandoned(jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if job.answer.is_cancelled()]
