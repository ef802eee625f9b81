"""What happens to a request before any route sees it: it gets an id, shows its key, and is kept small."""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import cast

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus_bridge.api.failures import failure
from orpheus_bridge.api.services import INFO_KEY, RequestInfo, Services
from orpheus_bridge.errors import BridgeError, TooLarge

REQUEST_ID = "x-request-id"
_REQUEST_ID_SHAPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

GUARDED = ("/api/", "/v1/", "/stats")
"""Paths that need a key; health, metrics and the documents of the API are open."""

UPLOADS = ("/api/voices/clone",)
MAX_BODY_BYTES = 256 * 1024
"""Of a request that is no upload: the longest text, every character escaped, needs half of it."""

FORM_BYTES = 64 * 1024
"""What a form has around its file."""

BODY_S = 30.0
"""For a whole body to arrive."""


class RequestIds:
    """Gives each request an id, its caller's own where that has the shape of one, and answers with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _REQUEST_ID_SHAPE.fullmatch(given) else uuid.uuid4().hex
        scope[INFO_KEY] = RequestInfo(request_id=request_id, started_s=asyncio.get_running_loop().time())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_id)


class AccessGuard:
    """Answers 401 before a body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(GUARDED):
            try:
                await services_of_scope(scope).keys.check(_bearer(scope))
            except BridgeError as error:
                await failure(scope["path"], error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BodyLimit:
    """Counts bodies as they arrive, and gives them a time to do so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit_bytes = _limit_bytes(scope)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > limit_bytes:
            await failure(scope["path"], _too_large(limit_bytes))(scope, receive, send)
            return
        await self._app(scope, _counted(receive, limit_bytes), send)


def services_of_scope(scope: Scope) -> Services:
    """Those of the running application."""
    return cast("Services", scope["app"].state.services)


def _counted(receive: Receive, limit_bytes: int) -> Callable[[], Awaitable[Message]]:
    due_s = asyncio.get_running_loop().time() + BODY_S
    arrived_bytes = 0
    complete = False

    async def receive_counted() -> Message:
        nonlocal arrived_bytes, complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(due_s):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {BODY_S:g} s: send it faster") from None
        arrived_bytes += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        if arrived_bytes > limit_bytes:
            raise HTTPException(413, str(_too_large(limit_bytes)))
        return message

    return receive_counted


def _limit_bytes(scope: Scope) -> int:
    if scope["path"] in UPLOADS:
        return services_of_scope(scope).options.max_upload_bytes + FORM_BYTES
    return MAX_BODY_BYTES


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"body: more than {limit_bytes} bytes: send less")


def _bearer(scope: Scope) -> str | None:
    scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else None
