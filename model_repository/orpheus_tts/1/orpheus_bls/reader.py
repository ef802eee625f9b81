"""Reads what the language model writes for one stream, and parses it into frames."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from orpheus_bls.mailbox import Completion, Mailbox
from orpheus_bls.report import FinishReason
from orpheus_core.errors import EngineUnavailable, SpeechError
from orpheus_core.loop import LoopGuard
from orpheus_core.request import SpeechRequest
from orpheus_core.tokens import TokenParser


@dataclass(frozen=True, slots=True)
class Delta:
    """What one response of the language model brings."""

    text: str
    finish_reason: str | None
    """vLLM's: `stop` or `length` with the last one, else None."""


class Child(Protocol):
    """One call of the language model."""

    def deltas(self, patience_s: Callable[[], float]) -> Iterator[Delta]:
        """Its responses; blocks, for ever if the model never answers.

        Args:
            patience_s: how long nobody needs the next one; it may come later and larger.

        Raises:
            SpeechError: it failed.
        """

    def cancel(self) -> None:
        """Stops it, from any thread; may block as long as the model does not answer. Does nothing after its end."""


class Reader:
    """The first thread of a stream. It only parses: a slow decoder never holds up the language model's responses."""

    def __init__(
        self, request: SpeechRequest, child: Child, mailbox: Mailbox, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_frames = request.generation.max_frames
        self._child = child
        self._mailbox = mailbox
        self._clock = clock
        self._parser = TokenParser()
        self._guard = LoopGuard(request.checkpoint.loop)
        self._frames = 0
        self.last_token_s: float | None = None
        """When the last text came; None before the first."""
        self.completed = False
        """Whether the speech is complete; the call may still go on."""

    def run(self, stop: Callable[[], None], patience_s: Callable[[], float]) -> None:
        """Until the call has ended; what comes after the speech is complete is thrown away.

        Args:
            stop: asks for the call to be cancelled; returns at once.
            patience_s: how long the speaker can do without more.

        Raises:
            SpeechError: the language model failed before the speech was complete.
        """
        finish_reason = None
        try:
            for delta in self._child.deltas(patience_s):
                finish_reason = delta.finish_reason or finish_reason
                if delta.text and not self.completed and self._is_looping(delta.text):
                    self._complete("loop")
                    stop()
        except SpeechError:
            if not self.completed:
                raise
        if self.completed:
            return
        # The error of a streamed call may be lost in Triton: what is left is an end without a reason.
        if finish_reason not in ("stop", "length"):
            raise EngineUnavailable("the language model broke off")
        self._complete("length" if finish_reason == "length" else "stop")

    def _is_looping(self, text: str) -> bool:
        self.last_token_s = now_s = self._clock()
        frames = self._parser.push(text)[: self._max_frames - self._frames]
        if not len(frames):
            return False
        # A speech is cut at the same frame however its tokens came.
        looped = next((index for index, frame in enumerate(frames) if self._guard.push(frame[None])), None)
        spoken = frames if looped is None else frames[: looped + 1]
        self._frames += len(spoken)
        self._mailbox.put(spoken, now_s)
        return looped is not None

    def _complete(self, reason: FinishReason) -> None:
        self._parser.flush()
        self.completed = True
        self._mailbox.complete(Completion(reason, self._parser.dropped_tokens))
