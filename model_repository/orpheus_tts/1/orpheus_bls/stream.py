"""One stream from its admission to its end."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from orpheus_bls.feed import Child, Feed
from orpheus_bls.outlet import End, Outlet
from orpheus_bls.settings import Deadlines, Settings
from orpheus_bls.slots import Slot
from orpheus_bls.speaker import Speaker
from orpheus_core.errors import Cancelled, EngineUnavailable, InternalFault, SpeechError
from orpheus_core.request import SpeechRequest
from orpheus_core.window import DecodeWindow


class Models(Protocol):
    """The models behind `orpheus_tts`."""

    def speak(self, request: SpeechRequest, slot: Slot) -> Child:
        """A call of the request's language model; it is made when it is first asked for what came."""

    def decoder(self, request: SpeechRequest, slot: Slot) -> DecodeWindow:
        """The request's decoder; blocks, and raises `SpeechError`."""

    def log(self, event: str) -> None:
        """An event for the operator."""


class Stream:
    """One thread, which takes tokens, decodes and sends. Whoever ends the stream, `on_end` is called once.

    Args:
        cancel: stops a call of the language model; returns at once.
    """

    def __init__(
        self, request: SpeechRequest, outlet: Outlet, slot: Slot, models: Models, settings: Settings, *,
        cancel: Callable[[Child], None], on_end: Callable[[End], None],
    ) -> None:  # fmt: skip
        self._outlet = outlet
        self._models = models
        self._deadlines: Deadlines = settings.deadlines
        self._started_s = time.monotonic()
        self._child = models.speak(request, slot)
        self._feed = Feed(request, self._child, stop=self._stop_child)
        self._speaker = Speaker(
            request, self._feed, outlet, models.decoder(request, slot),
            start_lead_frames=settings.start_lead_frames,
            crowded_lead_frames=settings.crowded_lead_frames, live_streams=slot.live, started_s=self._started_s,
        )  # fmt: skip
        self._child_stopped = False
        self._cancel = cancel
        self._on_end = on_end
        outlet.on_end = self._ended

    def start(self) -> None:
        """
        Raises:
            RuntimeError: the machine has no more threads; the stream must then be failed.
        """
        # A daemon: a call that never returns must not keep the process alive.
        threading.Thread(target=self._run, daemon=True).start()

    def check(self, now_s: float) -> bool:
        """For the watchdog: ends the stream if it is late or its caller has gone; whether it is still live."""
        if self._outlet.ended:
            return False
        if error := self._lateness(now_s):
            self._outlet.try_fail(error)
        elif self._outlet.try_cancelled():
            self._outlet.try_fail(Cancelled("the caller is gone"))
        return not self._outlet.ended

    def fail(self, error: SpeechError) -> None:
        """Ends the stream from outside."""
        self._outlet.fail(error)

    def _lateness(self, now_s: float) -> SpeechError | None:
        limits = self._deadlines
        waits = [(self._started_s, limits.total_s, "the end of the speech")]
        if (decode_s := self._speaker.decode_started_s) is not None:
            waits.append((decode_s, limits.decode_s, "decoded audio"))
        elif not self._feed.completion:
            last_s = self._feed.waited_since_s
            first = (self._started_s, limits.first_token_s, "the first token")
            waits.append(first if last_s is None else (last_s, limits.token_gap_s, "the next token"))
        for since_s, limit_s, what in waits:
            if now_s - since_s > limit_s:
                return EngineUnavailable(f"stalled, {what} did not come within {limit_s:g} s")
        return None

    def _run(self) -> None:
        """Every way out of the thread ends the stream."""
        try:
            self._speaker.run()
        except SpeechError as error:
            self._outlet.fail(error)
        except Exception as error:  # a defect of ours; its text may hold what was to be spoken
            self._models.log(f"stream failed: {type(error).__name__}")
            self._outlet.fail(InternalFault("the speech failed inside the server"))

    def _stop_child(self) -> None:
        if not (self._child_stopped or self._child.ended):
            self._child_stopped = True
            self._cancel(self._child)

    def _ended(self, end: End) -> None:
        self._stop_child()
        self._on_end(end)
