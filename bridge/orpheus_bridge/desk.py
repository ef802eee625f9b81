"""Where every speech passes: it is admitted, measured, counted, and can be cancelled by its id."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

import numpy as np

from orpheus_bridge.admission import Admission
from orpheus_bridge.errors import BridgeError, Busy, Conflict, Unavailable
from orpheus_bridge.readiness import Readiness
from orpheus_bridge.speech import Engine, Speech, SpeechOrder
from orpheus_bridge.telemetry.log import logger
from orpheus_bridge.telemetry.metrics import EndedSpeech, Metrics
from orpheus_client import Listener
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm, no_samples

MAX_OPEN = 2048
"""Requests in hand, those that wait for their room included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What is known of a request besides what is to be spoken."""

    request_id: str
    api: str
    """Through which door: `room`, `stream`, `json`, `openai`."""
    started_s: float
    """When the request arrived, on the loop's clock."""


class Utterance:
    """One speech on its way to its listener."""

    def __init__(self, speech: Speech, ticket: Ticket, *, admission: Admission, readiness: Readiness) -> None:
        self.ticket = ticket
        self.outcome = "ok"
        self.sent_samples = 0
        self.first_audio_s: float | None = None
        self._speech = speech
        self._admission = admission
        self._readiness = readiness
        self._listener = Listener(buffer_ms=0)
        self._ended_by: BridgeError | None = None

    async def samples(self) -> AsyncGenerator[Pcm, None]:
        """The speech, asked for once a slot is free; closing it cancels it at the server.

        Raises:
            BridgeError: once.
        """
        async with self._admission.slot(), aclosing(self._spoken()) as spoken:
            async for part in spoken:
                self._note(part)
                yield part

    async def whole(self) -> Pcm:
        """All of it."""
        async with aclosing(self.samples()) as samples:
            return np.concatenate([no_samples(), *[part async for part in samples]])

    @property
    def sent_ms(self) -> float:
        """Speech that was handed on."""
        return 1000 * self.sent_samples / SAMPLE_RATE_HZ

    @property
    def frames(self) -> int:
        """Spoken by the server, once all of it was."""
        return self._speech.result.stats.frames

    async def end(self, error: BridgeError) -> None:
        """Ends it, from another task than the listener's, who gets `error`."""
        self._ended_by = error
        await self._speech.aclose()

    def ended(self) -> EndedSpeech:
        """The account of it."""
        heard = self._listener.flush()
        audible_s = heard.first_audible_s
        return EndedSpeech(
            api=self.ticket.api,
            outcome=self.outcome,
            audio_s=self.sent_samples / SAMPLE_RATE_HZ,
            first_audio_s=self.first_audio_s,
            first_audible_s=None if audible_s is None else audible_s - self.ticket.started_s,
            stalled_s=heard.stalled_s,
        )

    async def _spoken(self) -> AsyncGenerator[Pcm, None]:
        try:
            async with aclosing(self._speech.samples()) as samples:
                async for part in samples:
                    self._readiness.heard()
                    yield part
        except BridgeError as error:
            if isinstance(error, Busy):
                self._readiness.full()
            raise self._ended_by or error from None

    def _note(self, part: Pcm) -> None:
        now_s = asyncio.get_running_loop().time()
        if self.first_audio_s is None:
            self.first_audio_s = now_s - self.ticket.started_s
        self._listener.push(part, at_s=now_s)
        self.sent_samples += len(part)


class Desk:
    """Takes orders for speech."""

    def __init__(self, engine: Engine, *, admission: Admission, readiness: Readiness, metrics: Metrics) -> None:
        self._engine = engine
        self._admission = admission
        self._readiness = readiness
        self._metrics = metrics
        self._open: dict[str, Utterance] = {}
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether nothing new is taken any more."""
        return self._draining

    @property
    def open_requests(self) -> int:
        """Speeches that are not over."""
        return len(self._open)

    @property
    def live_streams(self) -> int:
        """Speeches that hold a slot."""
        return self._admission.live

    @property
    def queued_streams(self) -> int:
        """Speeches that wait for a slot."""
        return self._admission.waiting

    def drain(self) -> None:
        """From now on nothing new is taken; what was taken goes on."""
        self._draining = True

    def check(self) -> None:
        """
        Raises:
            Unavailable: nothing is taken any more.
            Busy: too much is in hand.
        """
        if self._draining:
            raise Unavailable("the service is going down, ask another one")
        if len(self._open) >= MAX_OPEN:
            raise Busy(f"{MAX_OPEN} requests are in hand, try again")

    @contextmanager
    def open(self, order: SpeechOrder, ticket: Ticket) -> Iterator[Utterance]:
        """An utterance that is counted when this is left.

        Raises:
            Unavailable, Busy: as `check`.
            Conflict: another request of this id is not over.
        """
        self.check()
        if ticket.request_id in self._open:
            raise Conflict("X-Request-Id: in use by a request that is not over: send another one")
        speech = Speech(self._engine, order)
        utterance = Utterance(speech, ticket, admission=self._admission, readiness=self._readiness)
        self._open[ticket.request_id] = utterance
        try:
            yield utterance
        except BridgeError as error:
            utterance.outcome = error.code
            raise
        except (asyncio.CancelledError, GeneratorExit):
            utterance.outcome = "cancelled"
            raise
        except BaseException:
            utterance.outcome = "failed"
            raise
        finally:
            del self._open[ticket.request_id]
            self._account(utterance, order)

    async def cancel(self, request_id: str) -> float | None:
        """Ends one request; how many ms of it were handed on, or None if there is no such request."""
        utterance = self._open.get(request_id)
        if utterance is None:
            return None
        await utterance.end(Conflict("the speech was cancelled by request"))
        return utterance.sent_ms

    async def end_all(self) -> None:
        """Ends whatever is not over."""
        for utterance in tuple(self._open.values()):
            await utterance.end(Unavailable("the service went down"))

    def _account(self, utterance: Utterance, order: SpeechOrder) -> None:
        ended = utterance.ended()
        self._metrics.ended(ended)
        logger().info(
            "speech_ended",
            request_id=utterance.ticket.request_id,
            api=ended.api,
            outcome=ended.outcome,
            characters=len(order.text),
            cloned=order.reference is not None,
            audio_s=round(ended.audio_s, 3),
            first_audio_ms=_ms(ended.first_audio_s),
            first_audible_ms=_ms(ended.first_audible_s),
            stalled_ms=_ms(ended.stalled_s),
            total_ms=_ms(asyncio.get_running_loop().time() - utterance.ticket.started_s),
        )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)
