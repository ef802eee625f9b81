"""What a request can end with instead of text.

RequestError
├── InvalidInput   INVALID_ARG   the request says something that cannot be
├── Cancelled      CANCELLED     nobody wants the answer any more
├── EngineDown     UNAVAILABLE   the engine is dead, or has no place left
└── EngineFault    INTERNAL      the engine failed at this request
"""

from typing import ClassVar

SHOWN_CHARS = 40


class RequestError(Exception):
    """Its text goes to the caller: no prompt, no generated text."""

    code: ClassVar[str]
    """Name of the code in Triton's `TritonError`."""


class InvalidInput(RequestError):
    """`field: value: fix`."""

    code = "INVALID_ARG"


class Cancelled(RequestError):
    """The caller left, or asked for the end."""

    code = "CANCELLED"


class EngineDown(RequestError):
    """No request can be served now; another server may."""

    code = "UNAVAILABLE"


class EngineFault(RequestError):
    """This request failed, others go on."""

    code = "INTERNAL"


def shown(value: object) -> str:
    """A value for a message, cut short."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"
