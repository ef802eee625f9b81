"""The process: uvicorn, and an end in which running speech is heard out."""

import asyncio
import signal
import socket
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from orpheus_bridge.desk import Desk

LAST_S = 3
"""After the window: for requests that were ended to be over."""

KEEP_ALIVE_S = 75
"""Longer than proxies keep idle connections: else they send a request into a closing one."""

_log = structlog.get_logger(__name__)


class DrainingServer(uvicorn.Server):
    """A uvicorn that answers 503 to what is new and lets what runs end, after the first SIGTERM or SIGINT.

    It exits with status 0 once nothing runs, or when `drain_s` is over; after a second signal at once.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, *, drain_s: float) -> None:
        super().__init__(config)
        self._app = app
        self._drain_s = drain_s
        self._drain_until_s: float | None = None

    @property
    def port(self) -> int:
        """Where it listens, once it is started."""
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, with an event that says where it listens."""
        await super().startup(sockets)
        if self.started:
            _log.info("serving", host=self.config.host, port=self.port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (signals bring it)
        """Runs as a signal handler: it only notes."""
        if self._drain_until_s is not None:
            self.force_exit = sig == signal.SIGINT
            self.should_exit = True
        else:
            self._drain_until_s = float("inf")

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to exit now."""
        if self._drain_until_s is not None:
            await self._drain()
        return await super().on_tick(counter)

    async def _drain(self) -> None:
        now_s = asyncio.get_running_loop().time()
        desk: Desk = self._app.state.services.desk
        if self._drain_until_s == float("inf"):
            self._drain_until_s = now_s + self._drain_s
            desk.drain()
            _log.info("draining", open_requests=desk.open_requests, window_s=self._drain_s)
        if now_s >= (self._drain_until_s or 0.0):
            self.should_exit = True
        if self.should_exit:
            await desk.end_all()
        elif desk.open_requests == 0:
            self.should_exit = True


def server(app: FastAPI, *, host: str, port: int, drain_s: float) -> DrainingServer:
    """A server that is not started yet."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=LAST_S,
    )
    return DrainingServer(config, app, drain_s=drain_s)
