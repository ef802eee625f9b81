"""Text of any length as one speech: the next piece is asked for while the present one plays."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing
from enum import Enum
from typing import Literal

from orpheus_client._engine import SpeechEngine
from orpheus_client._errors import InvalidInput
from orpheus_client._joiner import PieceJoiner
from orpheus_client._options import DEFAULTS, SpeechOptions
from orpheus_client._results import AudioChunk, SpeechResult, joined
from orpheus_client._stream import Events, SpeechStream
from orpheus_client._tally import Tally

PAUSE_MS = 200

PIECES_AT_ONCE = 2
"""The one that is listened to, and the next."""

BUFFERED_CHUNKS = 2048
"""More than two of the longest pieces have at a frame a chunk: reading ahead need not wait for the listener, and a
server that sends crumbs cannot fill the memory."""

CLOSE_S = 1.0

Texts = Iterable[str] | AsyncIterable[str]


def speak_pieces(
    engine: SpeechEngine, pieces: Texts, options: SpeechOptions = DEFAULTS, *, pause_ms: float = PAUSE_MS
) -> SpeechStream:
    """Speaks the pieces one after the other as one stream, with `pause_ms` of silence between them.

    Each piece is read from the server as fast as it comes, at most one piece ahead of the listener. A piece that fails
    ends the stream with its error, after the audio before it. Text that comes bit by bit is waited for without bound.

    Args:
        pieces: each within the server's limit; see `orpheus_client.split`.

    Raises:
        InvalidInput: a pause below 0 or above 10 s.
    """
    return SpeechStream(_events(_ReadAhead(engine, options), pieces, PieceJoiner(pause_ms=pause_ms)))


class _Mark(Enum):
    PIECE = "a piece begins"
    END = "there is no further one"


_Item = AudioChunk | SpeechResult | Literal[_Mark.PIECE]


class _ReadAhead:
    """Reads pieces into a buffer, at most `PIECES_AT_ONCE` of them not yet listened to."""

    def __init__(self, engine: SpeechEngine, options: SpeechOptions) -> None:
        self._engine = engine
        self._options = options
        self._turns = asyncio.Semaphore(PIECES_AT_ONCE)
        self._buffer: asyncio.Queue[_Item | Exception | Literal[_Mark.END]] = asyncio.Queue(BUFFERED_CHUNKS)

    async def items(self, pieces: Texts) -> AsyncGenerator[_Item, None]:
        """Marks, chunks and results in order.

        Raises:
            SpeechError: of the piece that failed, after everything before it.
        """
        reader = asyncio.create_task(self._read(pieces))
        try:
            while (item := await self._buffer.get()) is not _Mark.END:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, SpeechResult):
                    self._turns.release()
                yield item
        finally:
            reader.cancel()
            await asyncio.wait({reader}, timeout=CLOSE_S)

    async def _read(self, pieces: Texts) -> None:
        try:
            async for text in _one_by_one(pieces):
                await self._turns.acquire()
                await self._read_piece(text)
            await self._buffer.put(_Mark.END)
        except Exception as error:  # the listener raises it
            await self._buffer.put(error)

    async def _read_piece(self, text: str) -> None:
        await self._buffer.put(_Mark.PIECE)
        async with self._engine.speak(text, self._options) as stream:
            async for chunk in stream:
                await self._buffer.put(chunk)
        await self._buffer.put(stream.result)


async def _events(ahead: _ReadAhead, pieces: Texts, joiner: PieceJoiner) -> Events:
    tally = Tally()
    results: list[SpeechResult] = []
    async with aclosing(ahead.items(pieces)) as items:
        async for item in items:
            if isinstance(item, SpeechResult):
                results.append(item)
                continue
            samples = joiner.push(item.samples) if isinstance(item, AudioChunk) else joiner.begin_piece()
            if len(samples):
                yield tally.chunk(samples)
    if not results:
        raise InvalidInput("text: no pieces: send at least one word")
    if len(samples := joiner.flush()):
        yield tally.chunk(samples)
    yield tally.result(*joined(results))


async def _one_by_one(pieces: Texts) -> AsyncIterator[str]:
    if isinstance(pieces, AsyncIterable):
        async for piece in pieces:
            yield piece
    else:
        for piece in pieces:
            yield piece
