"""Callers that write down how they are answered, and an engine that says what it is told."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncGenerator

from llm_backend.deltas import Delta
from llm_backend.errors import RequestError
from llm_backend.request import Generation

MAX_UNREAD = 1024


class RecordedAnswer:
    """`jobs.Answer` without Triton."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        self.errors: list[RequestError] = []
        self.ends = 0
        """How often it was said that it is over, which must be once."""
        self.is_gone = False
        """Set to have the caller leave."""
        self.over = threading.Event()

    @property
    def text(self) -> str:
        """All that came."""
        return "".join(delta.text for delta in self.deltas)

    def send(self, delta: Delta) -> None:
        self.deltas.append(delta)
        if delta.finish_reason is not None:
            self.end()

    def fail(self, error: RequestError) -> None:
        self.errors.append(error)
        self.end()

    def end(self) -> None:
        self.ends += 1
        self.over.set()

    def is_cancelled(self) -> bool:
        return self.is_gone and not self.over.is_set()


class RecordedReply:
    """`fetches.Reply` without Triton."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        """What it was closed with, which must be once."""
        self.is_gone = False
        """Set to have the caller leave."""

    def close_with(self, delta: Delta) -> None:
        self.deltas.append(delta)

    def is_cancelled(self) -> bool:
        return self.is_gone and not self.deltas


class ScriptedEngine:
    """`streams.Generator` without vLLM. For one event loop."""

    def __init__(self) -> None:
        self.is_alive = True
        self.running = 0
        """Generations that were neither finished nor left."""
        self._written: defaultdict[str, asyncio.Queue[Delta]] = defaultdict(lambda: asyncio.Queue(MAX_UNREAD))

    def write(self, prompt: str, *deltas: Delta) -> None:
        """The next deltas of the generation with that prompt, also if it comes later."""
        for delta in deltas:
            self._written[prompt].put_nowait(delta)

    async def generate(self, generation: Generation) -> AsyncGenerator[Delta, None]:
        self.running += 1
        try:
            while True:
                yield (delta := await self._written[generation.prompt].get())
                if delta.finish_reason is not None:
                    return
        finally:
            self.running -= 1
