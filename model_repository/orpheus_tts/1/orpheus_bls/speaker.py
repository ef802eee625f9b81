"""Decodes the frames of one stream and sends them, in the chunks that the schedule asks for."""

import math
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from orpheus_bls.mailbox import Completion, Mailbox, joined
from orpheus_bls.outlet import Outlet
from orpheus_bls.report import Stats
from orpheus_core.errors import InternalFault
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from orpheus_core.pcm import Pcm
from orpheus_core.request import SpeechRequest
from orpheus_core.schedule import ChunkSchedule
from orpheus_core.silence import SilenceTrim
from orpheus_core.tokens import Frames
from orpheus_core.window import DecodeWindow, ExactWindow, Window, no_frames

LONGEST_WAIT_S = 1.0
"""After this a speaker looks for the end of its stream again, whatever the schedule said."""


class Speaker:
    """The second thread of a stream; one window is in flight at a time.

    Args:
        decode: a window to its audio; blocks, and raises `SpeechError`.
        started_s: when the request arrived, on `clock`.
    """

    def __init__(
        self,
        request: SpeechRequest,
        mailbox: Mailbox,
        outlet: Outlet,
        decode: DecodeWindow,
        *,
        start_lead_frames: int,
        crowded_lead_frames: int = 0,
        started_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        decoder = request.checkpoint.decoder
        self._mailbox = mailbox
        self._outlet = outlet
        self._decode = decode
        self._clock = clock
        self._started_s = started_s
        self._schedule = ChunkSchedule(
            decoder, start_lead_frames=start_lead_frames, crowded_lead_frames=crowded_lead_frames
        )
        self._window = ExactWindow(self._timed_decode, decoder)
        self._trim = SilenceTrim(enabled=request.trim_silence)
        self._pending = no_frames()
        self._frames = 0
        self._first_audio_ms: float | None = None
        self._first_audible_ms: float | None = None
        self._due_s = 0.0
        self.decode_started_s: float | None = None
        """Since when a decode has been running; None between decodes."""

    def patience_s(self) -> float:
        """How long it has no use for more frames; for the reader's thread."""
        return self._due_s - self._clock()

    def run(self) -> None:
        """Until the stream has ended.

        Raises:
            SpeechError: the decoder failed.
        """
        wait_s = LONGEST_WAIT_S
        while not self._outlet.ended:
            arrivals, completion = self._mailbox.take(wait_s)
            for arrival in arrivals:
                self._schedule.received(len(arrival.frames), arrival.at_s)
            frames = joined(arrivals)
            self._frames += len(frames)
            self._pending = np.concatenate((self._pending, frames))
            if completion:
                self._finish(completion)
                return
            wait_s = min(self._speak_if_due(), LONGEST_WAIT_S)

    def _speak_if_due(self) -> float:
        """Seconds until it may be due again."""
        decision = self._schedule.decide(self._clock())
        if not decision.take_frames:
            self._due_s = self._clock() + decision.wait_s if math.isfinite(decision.wait_s) else 0.0
            return decision.wait_s
        self._due_s = 0.0
        self._send(self._trim.push(self._window.push(self._taken(decision.take_frames))))
        return 0.0

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
            self.decode_started_s = None
        self._schedule.decoded(len(window.codes), self._clock() - started_s)
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
