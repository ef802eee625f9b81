"""What a replayed language model is to do, written into the text that it is asked to speak."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from itertools import accumulate, islice

from models.frame_codes import (
    CODES_PER_SLOT,
    DECODER_ERROR,
    DECODER_HANGS_FROM,
    SLOTS,
    Codes,
    Samples,
    frame_codes,
    speech_of,
)

FIRST_CODE_TOKEN = 10
SPOKEN = re.compile(r"<\|begin_of_text\|>(?:([^:<]+): )?([^<]*)<\|eot_id\|>")
"""Voice and text of one turn of a prompt."""

RUBBISH = (
    ("<custom_token_12300>", 1),
    ("<custom_token_5>", 1),
    ("<custom_token_28682>", 1),
    ("well, then", 1),
    ("<custom_token_1234567>", 1),
    ("<custom_token_10><custom_token_4106><custom_token_8202>", 3),
    ("<custom_token_>", 1),
    ("<|audio|>", 1),
)
"""What comes before the first frames, and the tokens that are dropped for it: of a slot that is not due, a control, one
number too high, text, no token at all, a frame that breaks off, and more that is no token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One speech. `str()` is the text to send."""

    stream: int = 0
    """0..4095, in every frame's codes."""
    frames: int = 8
    rate: float = 0.0
    """Tokens a second; 0 is as fast as can be."""
    group: int = 7
    """Tokens to a response."""
    cut: int = 0
    """Other than 0: deltas end at any character, differently for each number."""
    quiet: int = 0
    """Quiet frames at the beginning."""
    loop: int = 0
    """Other than 0: the same so many frames over and over, without end."""
    rubbish: int = 0
    """1: a piece of `RUBBISH` before each of the first frames."""
    tail: int = 0
    """Tokens of a last frame that breaks off."""
    last: int = 0
    """1: the finish reason comes with an empty text, after the last token."""
    fault: str = ""
    """At frame `at`: `stall` (silent from then on), `error` (after the first response an end without a reason), `die`,
    `decode_error`, `decode_hang`."""
    at: int = 0
    code: str = "INTERNAL"
    """Of `error`, by its name in Triton."""
    deaf: int = 0
    """1: hears no cancel; 2: does not even answer the call that cancels."""
    tenths: int = 0
    """How long `decode_hang` lasts, in tenths of a second."""

    def __str__(self) -> str:
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        return " ".join(
            f"{name}={told[name]}" for name in told if told[name] != getattr(USUAL, name) or name == "frames"
        )

    def frame_count(self, max_tokens: int) -> int:
        """Whole frames that so many tokens allow."""
        allowed = max_tokens // SLOTS
        return allowed if self.loop else min(self.frames, allowed)

    def codes(self, frames: int | None = None) -> Codes:
        """The codes of the speech, or of one cut to so many frames, [n, 7]."""
        total = self.frames if frames is None else frames
        indices = [index % self.loop for index in range(total)] if self.loop else range(total)
        faults = {self.at: fault} if (fault := self._decoder_fault()) else {}
        open_end = bool(self.loop)
        return frame_codes(
            self.stream, list(indices), total=0 if open_end else total, quiet_frames=self.quiet, faults=faults
        )

    def samples(self, frames: int | None = None) -> Samples:
        """How the speech sounds when nothing is trimmed, [2048 * n]."""
        return speech_of(self.codes(frames))

    def dropped_tokens(self) -> int:
        """Tokens that are no audio, when the speech ends by itself."""
        rubbish = sum(dropped for _, dropped in RUBBISH[: self.frames]) if self.rubbish else 0
        return rubbish + self.tail

    def tokens(self, max_tokens: int) -> tuple[list[str], str]:
        """Token texts, the stop token as an empty one, and the finish reason."""
        tokens = list(islice(self._endless(self.frame_count(max_tokens)), max_tokens))
        return tokens, "stop" if tokens and tokens[-1] == "" else "length"

    def deltas(self, max_tokens: int) -> tuple[list[tuple[str, int]], str]:
        """Text and token count of each response, and the finish reason."""
        tokens, reason = self.tokens(max_tokens)
        groups = [tokens[at : at + self.group] for at in range(0, len(tokens), self.group)]
        texts = ["".join(group) for group in groups]
        return list(zip(self._recut(texts), map(len, groups), strict=True)), reason

    def _endless(self, frames: int) -> Iterator[str]:
        """Tokens to the stop token; longer than `frames` when that is what a limit left of the speech."""
        for index, frame in enumerate(self.codes(frames).tolist()):
            if self.rubbish and index < len(RUBBISH):
                yield RUBBISH[index][0]
            yield from _frame_tokens(frame)
        if frames < self.frames or self.loop:
            yield from _frame_tokens([0] * SLOTS)
            return
        yield from _frame_tokens([0] * self.tail)
        yield ""

    def _recut(self, texts: list[str]) -> list[str]:
        if not self.cut:
            return texts
        whole = "".join(texts)
        early = (max(0, end - (7 * n + self.cut) % 19) for n, end in enumerate(accumulate(map(len, texts))))
        ends = [*accumulate(early, max)]
        ends[-1] = len(whole)
        return [whole[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def _decoder_fault(self) -> int:
        if self.fault == "decode_hang":
            return DECODER_HANGS_FROM + self.tenths
        return DECODER_ERROR if self.fault == "decode_error" else 0


USUAL = Script()


def read_script(prompt: str) -> Script:
    """The script in a prompt's last turn; a text without `=` is the default one.

    Raises:
        ValueError: a word with `=` that is no field.
    """
    turns = SPOKEN.findall(prompt)
    words = dict(word.split("=", 1) for word in turns[-1][1].split() if "=" in word) if turns else {}
    kinds = {name: type(default) for name, default in asdict(USUAL).items()}
    if unknown := words.keys() - kinds.keys():
        raise ValueError(f"no such field: {sorted(unknown)}")
    return Script(**{name: kinds[name](value) for name, value in words.items()})


def voice_of(prompt: str) -> str:
    """The voice that a prompt's last turn names, empty for a cloned one."""
    turns = SPOKEN.findall(prompt)
    return str(turns[-1][0]) if turns else ""


def _frame_tokens(codes: list[int]) -> Iterator[str]:
    return (f"<custom_token_{FIRST_CODE_TOKEN + CODES_PER_SLOT * slot + code}>" for slot, code in enumerate(codes))
