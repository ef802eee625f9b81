"""One utterance over a connection: its deadlines, its attempts, its end."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from orpheus_client._connection import Connection
from orpheus_client._errors import ProtocolFault, SpeechError
from orpheus_client._options import SpeechOptions
from orpheus_client._retry import Retries
from orpheus_client._stream import Events
from orpheus_client._tally import Tally
from orpheus_client._timeouts import Deadlines, Timeouts
from orpheus_client._wire import End, Response, decode_response, encode_request


class Utterance:
    """What one call of `speak` does, from the request to the result."""

    def __init__(self, connection: Connection, *, timeouts: Timeouts, retries: Retries) -> None:
        self._connection = connection
        self._retries = retries
        self._deadlines = Deadlines(timeouts)
        self._tally = Tally()

    async def events(self, text: str, options: SpeechOptions) -> Events:
        """The speech; asked for again if it fails before its first audio and the retries allow it.

        Raises:
            SpeechError: once, and nothing follows.
        """
        request = encode_request(text, options, request_id=uuid.uuid4().hex)
        while True:
            try:
                async with aclosing(self._attempt(request)) as events:
                    async for event in events:
                        yield event
                return
            except SpeechError as error:
                pause_s = None if self._tally.chunks else self._retries.pause_s(error, left_s=self._deadlines.left_s)
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)

    async def _attempt(self, request: Any) -> Events:
        async with self._deadlines.connecting():
            await self._connection.open()
        end: End | None = None
        async with aclosing(self._responses(request)) as responses:
            async for response in responses:
                if end:
                    raise ProtocolFault("a response came after the final one")
                end = response.end
                if len(response.samples):
                    yield self._tally.chunk(response.samples)
        if not end:
            raise ProtocolFault("the stream ended without a final response")
        yield self._tally.result(end.finish_reason, end.stats)

    async def _responses(self, request: Any) -> AsyncGenerator[Response, None]:
        async with aclosing(self._connection.infer(request)) as messages:
            while True:
                async with self._deadlines.receiving():
                    message = await anext(messages, None)
                if message is None:
                    return
                self._deadlines.heard()
                yield decode_response(message)
