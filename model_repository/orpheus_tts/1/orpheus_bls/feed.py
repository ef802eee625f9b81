"""The frames of one speech, as its language model writes them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from orpheus_bls.report import FinishReason
from orpheus_core.errors import EngineUnavailable
from orpheus_core.loop import LoopGuard
from orpheus_core.request import SpeechRequest
from orpheus_core.tokens import Frames, TokenParser
from orpheus_core.window import no_frames


@dataclass(frozen=True, slots=True)
class Delta:
    """What the language model has written since it was last asked."""

    text: str
    finish_reason: str | None
    """vLLM's: `stop` or `length` with the last one, else None."""


class Child(Protocol):
    """One call of the language model."""

    @property
    def ended(self) -> bool:
        """Whether the model is done with it."""

    def fetch(self, *, at_once: bool) -> Delta:
        """What came since; blocks until there is something, for ever if the model never answers.

        Args:
            at_once: what there is by now, which may be nothing.

        Raises:
            SpeechError: it failed, or ended without a reason.
        """

    def cancel(self) -> None:
        """Stops it, from any thread; may block as long as the model does not answer. Does nothing after its end."""


@dataclass(frozen=True, slots=True)
class Completion:
    """Why no more frames will come."""

    reason: FinishReason
    dropped_tokens: int


class Feed:
    """Text to frames, up to the end of the speech, its budget, or a loop. For the thread of its stream.

    Args:
        stop: asks for the call to be cancelled, when it loops; returns at once.
    """

    def __init__(
        self,
        request: SpeechRequest,
        child: Child,
        *,
        stop: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop = stop
        self._max_frames = request.generation.max_frames
        self._child = child
        self._clock = clock
        self._parser = TokenParser()
        self._guard = LoopGuard(request.checkpoint.loop)
        self._frames = 0
        self.waited_since_s: float | None = None
        """Since when the next text is waited for; None before the first."""
        self.completion: Completion | None = None
        """Set once no more frames will come; the call may still go on."""

    def take(self, *, at_once: bool) -> Frames:
        """Frames [n, 7] that came since; blocks for the next text, or takes what there is by now.

        Raises:
            SpeechError: the language model failed before the speech was complete.
        """
        delta = self._child.fetch(at_once=at_once)
        frames = self._spoken(delta.text) if delta.text else no_frames()
        if delta.finish_reason and not self.completion:
            if delta.finish_reason not in ("stop", "length"):
                raise EngineUnavailable("the language model broke off")
            self._complete("length" if delta.finish_reason == "length" else "stop")
        return frames

    def excuse(self, seconds: float) -> None:
        """The language model is not to blame for time in which nobody asked it."""
        if self.waited_since_s is not None:
            self.waited_since_s += seconds

    def _spoken(self, text: str) -> Frames:
        self.waited_since_s = self._clock()
        frames = self._parser.push(text)[: self._max_frames - self._frames]
        # A speech is cut at the same frame however its tokens came.
        looped = next((index for index, frame in enumerate(frames) if self._guard.push(frame[None])), None)
        if looped is not None:
            frames = frames[: looped + 1]
            self._complete("loop")
            self._stop()
        self._frames += len(frames)
        return frames

    def _complete(self, reason: FinishReason) -> None:
        self._parser.flush()
        self.completion = Completion(reason, self._parser.dropped_tokens)
