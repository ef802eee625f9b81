"""The client of one Triton that serves `orpheus_tts`."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc
from tritonclient.grpc import service_pb2

from orpheus_client._catalogue import Catalogue, Checkpoints, Voice, read_checkpoints, voices_of
from orpheus_client._connection import Connection
from orpheus_client._errors import InvalidInput
from orpheus_client._long import PAUSE_MS, speak_pieces
from orpheus_client._options import DEFAULTS, SpeechOptions
from orpheus_client._retry import Retries, RetryBudget, RetryPolicy
from orpheus_client._stream import Events, SpeechStream
from orpheus_client._timeouts import Timeouts
from orpheus_client._utterance import Utterance
from orpheus_client._wire import MODEL
from orpheus_client.split import TextSplitter
from orpheus_core.choice import choose
from orpheus_core.errors import InvalidInput as CoreInvalidInput

KEEP_CHECKPOINTS_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a server that can be reached says of itself."""

    live: bool
    ready: bool
    """All models are loaded."""
    speaks: bool
    """`orpheus_tts` is loaded."""


class SpeechClient:
    """Speech from one server, any number of streams at once over one connection.

    An asynchronous context manager; it belongs to the event loop in which it was entered. Streams that are still open
    when it is left end with `Cancelled`.

    Args:
        url: `host:port` of Triton's gRPC, or of the proxy before it.
        timeouts: bounds of each utterance and each question.
        retry: when an utterance that failed before its first audio is asked for again.
        retry_budget: the share of requests that may be retries; give one to several clients to share it.
        credentials: for TLS, from `grpc.ssl_channel_credentials`; plain text without.
    """

    def __init__(
        self,
        url: str,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        retry_budget: RetryBudget | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._url = url
        self._timeouts = timeouts or Timeouts()
        self._retry = retry or RetryPolicy()
        self._retry_budget = retry_budget or RetryBudget()
        self._credentials = credentials
        self._open_connection: Connection | None = None
        self._catalogue = Catalogue(self._read_checkpoints, keep_s=KEEP_CHECKPOINTS_S)

    async def __aenter__(self) -> Self:
        self._open_connection = Connection(self._url, credentials=self._credentials, answer_s=self._timeouts.connect_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()
        self._open_connection = None

    def speak(self, text: str, options: SpeechOptions = DEFAULTS) -> SpeechStream:
        """One piece of text as a stream of audio; it is asked for when the stream is first read.

        The stream raises a `SpeechError`, at most once.
        """
        return SpeechStream(self._utterance(text, options))

    def speak_long(
        self,
        text: str | AsyncIterable[str],
        options: SpeechOptions = DEFAULTS,
        *,
        pause_ms: float = PAUSE_MS,
        enable_text_splitting: bool = True,
    ) -> SpeechStream:
        """Text of any length as one stream, split by `orpheus_client.split` and joined with `pause_ms` of silence.

        Args:
            text: the whole, or its parts as they are written, cut anywhere.
            enable_text_splitting: false forbids finer cuts than the server's limit needs.
        """
        pieces = self._pieces(text, options, enable_text_splitting=enable_text_splitting)
        return speak_pieces(self, pieces, options, pause_ms=pause_ms)

    async def checkpoints(self) -> Checkpoints:
        """What is loaded, at most a minute old.

        Raises:
            SpeechError: the server was not reached, or has no readable list.
        """
        return await self._catalogue.checkpoints()

    async def voices(self) -> tuple[Voice, ...]:
        """Every preset voice.

        Raises:
            SpeechError: as `checkpoints`.
        """
        return voices_of(await self.checkpoints())

    async def health(self) -> Health:
        """What the server says of itself.

        Raises:
            ConnectionFailed, ConnectTimeout: it cannot be reached.
        """
        await self._connection.open()
        ask = self._connection.ask
        live = await ask("ServerLive", service_pb2.ServerLiveRequest())
        ready = await ask("ServerReady", service_pb2.ServerReadyRequest())
        speaks = await ask("ModelReady", service_pb2.ModelReadyRequest(name=MODEL))
        return Health(live=live.live, ready=ready.ready, speaks=speaks.ready)

    @property
    def _connection(self) -> Connection:
        if self._open_connection is None:
            raise RuntimeError("SpeechClient: not entered, or left already: use it inside `async with`")
        return self._open_connection

    async def _utterance(self, text: str, options: SpeechOptions) -> Events:
        retries = Retries(self._retry, self._retry_budget)
        utterance = Utterance(self._connection, timeouts=self._timeouts, retries=retries)
        async with aclosing(utterance.events(text, options)) as events:
            async for event in events:
                yield event

    async def _pieces(
        self, text: str | AsyncIterable[str], options: SpeechOptions, *, enable_text_splitting: bool
    ) -> AsyncIterator[str]:
        max_chars, language = await self._limits(options)
        splitter = TextSplitter(max_chars, language=language, enable_text_splitting=enable_text_splitting)
        if isinstance(text, str):
            pieces = [*splitter.push(text), *splitter.flush()]
            # Text with nothing to say is the server's to refuse, in its words.
            for piece in pieces or [text]:
                yield piece
            return
        async for part in text:
            for piece in splitter.push(part):
                yield piece
        for piece in splitter.flush():
            yield piece

    async def _limits(self, options: SpeechOptions) -> tuple[int, str]:
        """Characters at once and language of the checkpoint that these options mean."""
        checkpoints = await self.checkpoints()
        cloned = options.reference is not None
        try:
            choice = choose(checkpoints, language=options.language, voice=options.voice, cloned=cloned)
        except CoreInvalidInput as error:
            raise InvalidInput(str(error)) from None
        return choice.checkpoint.max_text_chars, choice.language

    async def _read_checkpoints(self) -> Checkpoints:
        return await read_checkpoints(self._connection)
