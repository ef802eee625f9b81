"""What the bridge answers when it does not speak.

BridgeError             code                HTTP
├── BadRequest          bad_request         400   a field is wrong: `field: value: fix`
├── Unauthorized        unauthorized        401
├── NotFound            not_found           404
├── Conflict            conflict            409   exists already, or the room is busy or owned elsewhere
├── TooLarge            too_large           413
├── Unspeakable         unspeakable         422   a voice that cannot be spoken as itself
├── Busy                busy                429   with Retry-After
├── Failed              failed              500   ours or the server's; no backend text
├── Unavailable         unavailable         503   it cannot speak now, or what it needs is not there
└── Late                late                504

Errors of `orpheus_client` become these in `from_speech`; each API gives them its own shape.
"""

from typing import ClassVar

from orpheus_client import Busy as ServerBusy
from orpheus_client import Cancelled, InvalidInput, SpeechError, SpeechTimeout
from orpheus_client import Unavailable as ServerUnavailable

RETRY_AFTER_S = 1

_STORED = "reference_"
"""How the server's fields begin that hold what is stored of a voice."""


class BridgeError(Exception):
    """`str()` is one sentence that may be shown to the caller."""

    code: ClassVar[str] = "failed"
    http_status: ClassVar[int] = 500
    retry_after_s: ClassVar[int | None] = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        """The field of the request that is wrong, if it is one."""


class BadRequest(BridgeError):
    """A field of the request is wrong; no retry will mend it."""

    code = "bad_request"
    http_status = 400


class Unauthorized(BridgeError):
    """No key, or none that is known."""

    code = "unauthorized"
    http_status = 401


class NotFound(BridgeError):
    """No such thing."""

    code = "not_found"
    http_status = 404


class Conflict(BridgeError):
    """It exists already, or somebody else has it."""

    code = "conflict"
    http_status = 409


class TooLarge(BridgeError):
    """More bytes than are taken."""

    code = "too_large"
    http_status = 413


class Unspeakable(BridgeError):
    """A voice that is stored but cannot be spoken as itself."""

    code = "unspeakable"
    http_status = 422


class Busy(BridgeError):
    """Everything is taken; a moment later it may not be."""

    code = "busy"
    http_status = 429
    retry_after_s = RETRY_AFTER_S


class Failed(BridgeError):
    """A fault of ours or of the server's."""


class Unavailable(BridgeError):
    """It cannot speak now."""

    code = "unavailable"
    http_status = 503
    retry_after_s = RETRY_AFTER_S


class Late(BridgeError):
    """It took longer than allowed."""

    code = "late"
    http_status = 504


def from_speech(error: SpeechError) -> BridgeError:
    """What a failure of the speech server means for the caller of the bridge."""
    match error:
        case InvalidInput():
            return _bad_request(str(error))
        case ServerBusy():
            return Busy("all streams are taken, try again")
        case ServerUnavailable():
            return Unavailable("the speech server cannot speak now")
        case SpeechTimeout():
            return Late("the speech server took too long")
        case Cancelled():
            return Unavailable("the speech was cancelled")
    return Failed("the speech server failed")


def _bad_request(message: str) -> BadRequest:
    field = message.partition(":")[0]
    if field.startswith(_STORED):
        # It came with a stored voice, and the caller has no such field.
        return BadRequest(f"voice_id: what is stored of it is refused: {message}", param="voice_id")
    return BadRequest(message, param=field if field.isidentifier() else None)
