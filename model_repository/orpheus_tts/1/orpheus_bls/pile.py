"""What a call of the language model writes while nobody asks for it."""

import threading

from orpheus_bls.feed import Delta
from orpheus_core.errors import EngineUnavailable, SpeechError


class Pile:
    """Deltas from the thread that follows a call to the one that speaks, joined. The speech bounds it: its budget of
    tokens is all that can lie here (60 s are 100 kB)."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._texts: list[str] = []
        self._finish_reason: str | None = None
        self._error: SpeechError | None = None
        self._has_ended = False

    def put(self, delta: Delta) -> None:
        """What came."""
        with self._changed:
            self._texts.append(delta.text)
            self._finish_reason = delta.finish_reason or self._finish_reason
            self._changed.notify()

    def end(self, error: SpeechError | None = None) -> None:
        """Nothing more will come: the call has ended, or failed; the first end counts."""
        with self._changed:
            self._error = self._error if self._has_ended else error
            self._has_ended = True
            self._changed.notify()

    def take(self, *, at_once: bool) -> Delta:
        """Everything that lies here; blocks until something does, or takes what there is by now.

        Raises:
            SpeechError: all was taken, and the call has failed, or ended without a reason.
        """
        with self._changed:
            while not (self._texts or self._has_ended or at_once):
                self._changed.wait()
            if not self._texts and self._has_ended:
                # The error of a call may be lost in Triton: what is left is an end without a reason.
                raise self._error or EngineUnavailable("the language model broke off")
            texts, self._texts = self._texts, []
            return Delta("".join(texts), self._finish_reason)
