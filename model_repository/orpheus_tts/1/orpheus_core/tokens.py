"""Token text to frames of codes, whatever way the text is cut into deltas."""

import re

import numpy as np
import numpy.typing as npt

from orpheus_core.layout import CODE_TOKEN_COUNT, CODES_PER_SLOT, FIRST_CODE_TOKEN, TOKENS_PER_FRAME

Frames = npt.NDArray[np.int64]
"""Codes, [frames, 7], slot order, each 0..4095."""

TOKEN_START = "<custom_token_"
MAX_DIGITS = 6
TOKEN_OR_OTHER = re.compile(rf"{TOKEN_START}([0-9]{{1,{MAX_DIGITS}}})>|<[^<]*|[^<]+")


class TokenParser:
    """Collects `<custom_token_N>` text into whole frames.

    The slot is read from the id, so the frame resynchronises by itself: a token of another slot than the one due is
    dropped, and a slot 0 begins a new frame. Everything dropped is counted.
    """

    def __init__(self) -> None:
        self._carry = ""
        self._partial: list[int] = []
        self._in_other = False
        self.dropped_tokens = 0
        """Tokens that did not become audio: out of place, controls, and runs of other text (one each)."""

    def push(self, delta: str) -> Frames:
        """Frames completed by this delta, [n, 7]."""
        text = self._carry + delta
        self._carry = unfinished_token(text)
        codes: list[int] = []
        for match in TOKEN_OR_OTHER.finditer(text, 0, len(text) - len(self._carry)):
            if match.group(1) is None:
                self._drop_other()
            else:
                self._in_other = False
                self._accept(int(match.group(1)) - FIRST_CODE_TOKEN, codes)
        return np.array(codes, dtype=np.int64).reshape(-1, TOKENS_PER_FRAME)

    def flush(self) -> Frames:
        """No frame: what is incomplete at the end is dropped and counted."""
        if self._carry:
            self._drop_other()
        self.dropped_tokens += len(self._partial)
        self._carry, self._partial = "", []
        return np.empty((0, TOKENS_PER_FRAME), dtype=np.int64)

    def _accept(self, index: int, codes: list[int]) -> None:
        if not 0 <= index < CODE_TOKEN_COUNT:
            self.dropped_tokens += 1
            return
        slot, code = divmod(index, CODES_PER_SLOT)
        if slot == 0:
            self.dropped_tokens += len(self._partial)
            self._partial = [code]
        elif slot == len(self._partial):
            self._partial.append(code)
        else:
            self.dropped_tokens += 1
        if len(self._partial) == TOKENS_PER_FRAME:
            codes += self._partial
            self._partial = []

    def _drop_other(self) -> None:
        if not self._in_other:
            self.dropped_tokens += 1
        self._in_other = True


def unfinished_token(text: str) -> str:
    """The end of `text` that the next delta may turn into a token."""
    at = text.rfind("<")
    tail = text[at:] if at >= 0 else ""
    digits = tail.removeprefix(TOKEN_START)
    may_grow = TOKEN_START.startswith(tail) or (
        tail.startswith(TOKEN_START) and digits.isdecimal() and len(digits) <= MAX_DIGITS
    )
    return tail if may_grow else ""
