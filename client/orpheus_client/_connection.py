"""One gRPC channel to one Triton (or the proxy before it), for any number of streams."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from orpheus_client._errors import (
    Cancelled,
    ConnectionFailed,
    ConnectTimeout,
    InvalidInput,
    SpeechTimeout,
    Unavailable,
    error_from_message,
    error_from_status,
)

REAL_STATUS = (("triton_grpc_error", "true"),)
"""With this metadata Triton ends a failed stream with its status instead of a bare message."""

FIRST_SAFE_VERSION = (2, 68)
"""Of Triton: an older one may read freed memory when it ends a stream so (its pull request 8708), and die of it."""

FINAL = "triton_final_response"
"""Parameter of each response: whether it is the request's last one."""

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""The longest speech in one message is 2.9 MB."""

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A peer that vanished without a word is noticed; a stream silent for so long is over by its own deadlines anyway.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC's own back-off grows to two minutes: a server that comes back would go unnoticed for as long.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Clients of one process share no connection: closing or losing one leaves the others alone.
    ("grpc.use_local_subchannel_pool", 1),
)


class Connection:
    """The channel with the errors of both layers, gRPC's and Triton's, folded into one tree.

    It is made inside a running event loop and closed with `close`.

    Args:
        answer_s: bound of an attempt to connect, and of every question.
    """

    def __init__(self, url: str, *, credentials: grpc.ChannelCredentials | None, answer_s: float) -> None:
        self._url = _checked_url(url)
        self._answer_s = answer_s
        # By its name a pause between attempts, for gRPC also the time that one attempt may take.
        options = (*_CHANNEL_OPTIONS, ("grpc.min_reconnect_backoff_ms", round(answer_s * 1000)))
        self._channel = (
            grpc.aio.secure_channel(url, credentials, options=options)
            if credentials
            else grpc.aio.insecure_channel(url, options=options)
        )
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._metadata: tuple[tuple[str, str], ...] | None = None
        """Of each stream; None until the server has told its version."""

    async def close(self) -> None:
        """Ends every call that is left with `Cancelled`."""
        await self._channel.close()

    async def open(self) -> None:
        """Returns once there is a connection; at once if there is one.

        Raises:
            ConnectionFailed, ConnectTimeout: there is none.
            ProtocolFault: something else than a Triton answers.
        """
        if self._metadata is not None and self._channel.get_state() is grpc.ChannelConnectivity.READY:
            return
        # A question rather than a wait for the channel's state: it fails at once where nobody listens.
        try:
            server = await self.ask("ServerMetadata", service_pb2.ServerMetadataRequest())
            self._metadata = REAL_STATUS if _version(server.version) >= FIRST_SAFE_VERSION else ()
        except SpeechTimeout:
            raise ConnectTimeout(f"{self._url}: no connection within {self._answer_s:g} s") from None
        except Unavailable as error:
            raise ConnectionFailed(f"{self._url}: no connection: {error}") from None

    async def ask(self, method: str, request: Any) -> Any:
        """The answer of a unary method of Triton's inference service.

        Raises:
            SpeechError: by the status of the answer.
        """
        with _one_tree():
            return await getattr(self._stub, method)(request, timeout=self._answer_s)

    async def infer(self, request: Any) -> AsyncGenerator[Any, None]:
        """The `ModelInferResponse`s to one request; leaving the iterator cancels the request at the server.

        Raises:
            SpeechError: by the status, or by the message of a server that sends none.
        """
        over = asyncio.Event()
        call = self._stub.ModelStreamInfer(_until(over, request), metadata=self._metadata)
        try:
            while True:
                with _one_tree():
                    message = await call.read()
                if message is grpc.aio.EOF:
                    return
                if message.error_message:
                    raise error_from_message(message.error_message)
                if message.infer_response.parameters[FINAL].bool_param:
                    over.set()
                yield message.infer_response
        finally:
            over.set()
            call.cancel()


async def _until(over: asyncio.Event, request: Any) -> AsyncIterator[Any]:
    """The client's side of a stream: one request, and no end before the answer's, which an error could meet."""
    yield request
    await over.wait()


def _version(text: str) -> tuple[int, ...]:
    """Numbers of a version such as `2.51.0`; none of anything else."""
    parts = text.split(".")
    return tuple(map(int, parts[:2])) if all(part.isdecimal() for part in parts[:2]) else ()


@contextmanager
def _one_tree() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise error_from_status(error.code(), error.details() or "") from None
    except asyncio.CancelledError:
        # gRPC tells of a call that was cancelled from elsewhere as if this task were.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Cancelled("the client was closed") from None


def _checked_url(url: str) -> str:
    host, colon, port = url.rpartition(":")
    if not (host and colon and port.isdecimal()) or "/" in url:
        raise InvalidInput(f"url: {url!r}: send host:port, such as 127.0.0.1:8001")
    return url
