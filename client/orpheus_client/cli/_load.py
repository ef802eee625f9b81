"""Load on a speech engine, and what each request came to."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from orpheus_client._engine import SpeechEngine
from orpheus_client._errors import SpeechError
from orpheus_client._listener import Listener
from orpheus_client._options import SpeechOptions

MAX_IN_FLIGHT = 2000
"""Of an open loop: beyond it a request is not made and counts as `client_full`; a dead server must not fill this
machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One request."""

    failure: SpeechError | None = None
    refused: bool = False
    """Not made at all: too many were running."""
    first_audio_ms: float | None = None
    first_audible_ms: float | None = None
    audio_s: float = 0.0
    wall_s: float = 0.0
    stalls: int = 0
    stalled_ms: float = 0.0

    @property
    def error(self) -> str | None:
        """A code of the client's error tree, or `client_full`; None if it was spoken to its end."""
        if self.refused:
            return "client_full"
        return self.failure.code if self.failure else None


Request = Callable[[str], Awaitable[None]]
"""Speaks one text and notes the outcome."""


async def closed_loop(request: Request, texts: Iterable[str], *, concurrency: int) -> None:
    """Keeps `concurrency` requests running until the texts are used up."""
    turns = iter(texts)

    async def in_turn() -> None:
        for text in turns:
            await request(text)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(concurrency):
            tasks.create_task(in_turn())


async def open_loop(
    request: Request, texts: Iterable[str], *, arrivals_hz: float, seed: int, refused: Callable[[], None]
) -> None:
    """Makes a request for each text at the times of a Poisson process, whether earlier ones are done or not.

    Args:
        refused: called instead where `MAX_IN_FLIGHT` are running.
    """
    chance = random.Random(seed)  # noqa: S311  (a load, not a secret)
    loop = asyncio.get_running_loop()
    due_at = loop.time()
    running: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as tasks:
        for text in texts:
            if len(running) >= MAX_IN_FLIGHT:
                refused()
            else:
                running.add(task := tasks.create_task(_awaited(request(text))))
                task.add_done_callback(running.discard)
            # From the time it was due and not from now, or a slow machine would lower the rate.
            due_at += chance.expovariate(arrivals_hz)
            await asyncio.sleep(due_at - loop.time())


async def measured(engine: SpeechEngine, text: str, options: SpeechOptions, *, buffer_ms: float) -> Outcome:
    """Speaks one text to a simulated listener with a buffer of `buffer_ms`; an error is an outcome, not raised."""
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    listener = Listener(buffer_ms=buffer_ms)
    try:
        async with engine.speak(text, options) as stream:
            async for chunk in stream:
                listener.push(chunk.samples, at_s=loop.time() - started_at)
    except SpeechError as error:
        return Outcome(failure=error, wall_s=loop.time() - started_at)
    heard = listener.flush()
    return Outcome(
        first_audio_ms=stream.result.first_audio_ms,
        first_audible_ms=None if heard.first_audible_s is None else heard.first_audible_s * 1000,
        audio_s=stream.result.duration_s,
        wall_s=loop.time() - started_at,
        stalls=heard.stalls,
        stalled_ms=heard.stalled_s * 1000,
    )


async def _awaited(request: Awaitable[None]) -> None:
    await request
