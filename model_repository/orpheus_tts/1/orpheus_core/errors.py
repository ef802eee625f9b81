"""The ways in which a request for speech ends badly.

SpeechError                  code, message for the caller
├── InvalidInput             INVALID_ARG   `field: value: fix`
├── Full                     UNAVAILABLE   `full: …`    busy, try again
├── EngineUnavailable        UNAVAILABLE   `engine: …`  broken or stalled
├── Cancelled                CANCELLED     `cancelled: …` the caller is gone or asked for it
└── InternalFault            INTERNAL      ours or the model's; no backend text
"""

from typing import ClassVar

SHOWN_CHARS = 40
"""A message quotes at most this many characters of what a caller sent: spoken text is private."""


class SpeechError(Exception):
    """A stream's end that is not speech; `str()` is safe to show to the caller."""

    code: ClassVar[str] = "INTERNAL"


class InvalidInput(SpeechError):
    """An input that no retry will mend."""

    code = "INVALID_ARG"

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__(f"{field}: {shown(value)}: {fix}")
        self.field = field
        self.fix = fix


class Full(SpeechError):
    """Every stream slot is taken."""

    code = "UNAVAILABLE"

    def __init__(self, message: str) -> None:
        super().__init__(f"full: {message}")


class EngineUnavailable(SpeechError):
    """The language model or the decoder does not answer."""

    code = "UNAVAILABLE"

    def __init__(self, message: str) -> None:
        super().__init__(f"engine: {message}")


class Cancelled(SpeechError):
    """The caller cancelled."""

    code = "CANCELLED"

    def __init__(self, message: str) -> None:
        super().__init__(f"cancelled: {message}")


class InternalFault(SpeechError):
    """A fault of the models or of this code."""


def shown(value: object) -> str:
    """A value as an error message may show it: at most `SHOWN_CHARS` characters, quoted when it is text."""
    text = repr(value[:SHOWN_CHARS]) if isinstance(value, str) else str(value)
    if isinstance(value, str) and len(value) > SHOWN_CHARS:
        text += "…"
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"
