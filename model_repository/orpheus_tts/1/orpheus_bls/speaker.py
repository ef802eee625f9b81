"""Takes the frames of one stream, decodes and sends them, in the chunks that the schedule asks for."""

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from orpheus_bls.feed import Completion, Feed
from orpheus_bls.outlet import Outlet
from orpheus_bls.report import Stats
from orpheus_core.errors import InternalFault
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from orpheus_core.pcm import Pcm
from orpheus_core.request import SpeechRequest
from orpheus_core.schedule import WAIT_FOR_FRAMES, ChunkSchedule, Decision
from orpheus_core.silence import SilenceTrim
from orpheus_core.tokens import Frames
from orpheus_core.window import DecodeWindow, ExactWindow, Window, no_frames

READY_S = 0.002
"""How long before they are needed frames are asked for, until it is known what an answer takes."""

MOST_READY_S = 0.050
"""An answer that takes longer means an overloaded server: to ask even sooner brings smaller chunks and more calls."""

LONGEST_REST_S = 0.5
"""Between two looks at the language model: the end of a speech, and a loop, are noticed within it."""

STALE_S = 1.0
"""After a window the language model is asked again if it was not for so long: it must not think that nobody listens."""


class Speaker:
    """The thread of a stream: it waits for frames, decodes a window, or rests; one thing at a time. What the language
    model writes meanwhile piles up there, so a slow decoder makes larger chunks, which are cheaper.

    Args:
        decode: a window to its audio; blocks, and raises `SpeechError`.
        started_s: when the request arrived, on `clock`.
    """

    def __init__(
        self,
        request: SpeechRequest,
        feed: Feed,
        outlet: Outlet,
        decode: DecodeWindow,
        *,
        start_lead_frames: int,
        crowded_lead_frames: int = 0,
        live_streams: int = 1,
        started_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        decoder = request.checkpoint.decoder
        self._feed = feed
        self._outlet = outlet
        self._decode = decode
        self._clock = clock
        self._started_s = started_s
        self._schedule = ChunkSchedule(
            decoder,
            start_lead_frames=start_lead_frames,
            crowded_lead_frames=crowded_lead_frames,
            live_streams=live_streams,
        )
        self._window = ExactWindow(self._timed_decode, decoder)
        self._trim = SilenceTrim(enabled=request.trim_silence)
        self._pending = no_frames()
        self._frames = 0
        self._ready_s = READY_S
        self._asked_s = started_s
        self._first_audio_ms: float | None = None
        self._first_audible_ms: float | None = None
        self.decode_started_s: float | None = None
        """Since when a decode has been running; None between decodes."""

    def run(self) -> None:
        """Until the stream has ended.

        Raises:
            SpeechError: the language model or the decoder failed.
        """
        decision = WAIT_FOR_FRAMES
        while not self._outlet.ended:
            self._listen(decision)
            decision = self._speak_while_due()
            if self._feed.completion:
                self._finish(self._feed.completion)
                return

    def _listen(self, decision: Decision) -> None:
        """Waits as long as the schedule can, and takes the frames that came meanwhile."""
        if decision.is_timed and decision.rest_s <= 2 * self._ready_s:
            # Too short to ask for more before it.
            time.sleep(decision.rest_s)
            return
        if (rest_s := decision.rest_s - self._ready_s) > 0.0:
            time.sleep(min(rest_s, LONGEST_REST_S))
        if not self._outlet.ended:
            self._ask(at_once=decision.is_timed)

    def _ask(self, *, at_once: bool) -> None:
        asked_s = self._clock()
        frames = self._feed.take(at_once=at_once)
        self._asked_s = self._clock()
        if at_once:
            self._ready_s += 0.3 * (min(self._asked_s - asked_s, MOST_READY_S) - self._ready_s)
        self._schedule.received(len(frames), self._asked_s)
        self._frames += len(frames)
        self._pending = np.concatenate((self._pending, frames))

    def _speak_while_due(self) -> Decision:
        """What the schedule waits for then; nothing is due of a speech that is complete."""
        decision = WAIT_FOR_FRAMES
        while not (self._feed.completion or self._outlet.ended):
            decision = self._schedule.decide(self._clock())
            if not decision.take_frames:
                break
            self._send(self._trim.push(self._window.push(self._taken(decision.take_frames))))
            if self._clock() - self._asked_s > STALE_S:
                self._ask(at_once=True)
        return decision

    def _finish(self, completion: Completion) -> None:
        if not self._frames:
            self._outlet.fail(InternalFault("the model produced no speech"))
            return
        # Whoever listens shall not wait for more than one window at a time.
        while len(self._pending) > self._schedule.max_take_frames and not self._outlet.ended:
            self._send(self._trim.push(self._window.push(self._taken(self._schedule.max_take_frames))))
        samples = self._trim.push(self._window.flush(self._taken(len(self._pending))))
        samples = np.concatenate((samples, self._trim.flush()))
        self._note(samples)
        self._outlet.finish(samples, completion.reason, self._stats(completion.dropped_tokens))

    def _taken(self, frames: int) -> Frames:
        taken, self._pending = self._pending[:frames], self._pending[frames:]
        return taken

    def _send(self, samples: Pcm) -> None:
        if len(samples) and self._outlet.send(samples):
            self._schedule.sent(len(samples), self._clock())
            self._note(samples)

    def _note(self, samples: Pcm) -> None:
        now_ms = (self._clock() - self._started_s) * 1000
        if self._first_audio_ms is None and len(samples):
            self._first_audio_ms = now_ms
        if self._first_audible_ms is None and self._trim.heard:
            self._first_audible_ms = now_ms

    def _timed_decode(self, window: Window) -> npt.NDArray[np.float32]:
        self.decode_started_s = started_s = self._clock()
        try:
            audio = self._decode(window)
        finally:
            took_s = self._clock() - started_s
            self._feed.excuse(took_s)
            self.decode_started_s = None
        self._schedule.decoded(len(window.codes), took_s)
        return audio

    def _stats(self, dropped_tokens: int) -> Stats:
        window = self._window
        return Stats(
            frames=self._frames,
            dropped_tokens=dropped_tokens,
            first_audio_ms=self._first_audio_ms,
            first_audible_ms=self._first_audible_ms,
            generated_s=_seconds(self._frames),
            decoded_s=_seconds(window.decoded_frames),
            padded_s=_seconds(window.padded_frames),
            windows=window.windows,
        )


def _seconds(frames: int) -> float:
    return round(frames * SAMPLES_PER_FRAME / SAMPLE_RATE_HZ, 3)
