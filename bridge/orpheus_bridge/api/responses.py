"""Answers that last as long as a speech does, and end when nobody listens any more."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orpheus_bridge.api.failures import ClientGone
from orpheus_bridge.errors import BridgeError
from orpheus_bridge.telemetry.log import logger

T = TypeVar("T")

SEND_S = 10.0
"""A listener that takes nothing for so long is given up."""

CLOSE_S = 2.0
"""For a cancelled speech to be over."""

STREAM_HEADERS: Mapping[str, str] = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Proxies are not to keep back what is meant to be heard now."""

Parts = AsyncGenerator[bytes, None]


class SpeechResponse(Response):
    """Sends parts of a body as they come.

    The status is sent with the first part, so that whatever fails before it is answered as an error. What fails
    later cuts the connection: an end that looks whole would be a lie. A client that goes away closes `parts` at once.
    """

    def __init__(self, parts: Parts, *, media_type: str, headers: Mapping[str, str]) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self._parts = parts
        self.init_headers({**STREAM_HEADERS, **headers})

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """
        Raises:
            BridgeError: before anything was sent.
        """
        try:
            await until_gone(receive, self._send(send))
        except ClientGone:
            return

    async def _send(self, send: Send) -> None:
        began = False
        try:
            async with aclosing(self._parts) as parts:
                async for part in parts:
                    if not began:
                        began = True
                        await self._bounded(send, self._start())
                    await self._bounded(send, {"type": "http.response.body", "body": part, "more_body": True})
        except BridgeError as error:
            if not began:
                raise
            logger().warning("stream_cut", code=error.code)
            return
        if not began:
            await self._bounded(send, self._start())
        await self._bounded(send, {"type": "http.response.body", "body": b"", "more_body": False})

    def _start(self) -> dict[str, Any]:
        return {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}

    async def _bounded(self, send: Send, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(SEND_S):
                await send(message)
        except (TimeoutError, OSError):
            raise ClientGone from None


async def until_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises; it is cancelled when the client goes away.

    Args:
        receive: of a request whose body was read.

    Raises:
        ClientGone: it went away.
    """
    job = asyncio.create_task(work)
    watch = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait((job, watch), return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise ClientGone
        return job.result()
    finally:
        job.cancel()
        watch.cancel()
        await asyncio.wait((job, watch), timeout=CLOSE_S)
        if job.done() and not job.cancelled():
            # Nobody is left to be told; asked for, asyncio does not complain of it.
            job.exception()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
