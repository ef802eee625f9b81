"""How speech fails, for callers of this package.

SpeechError                 code                 HTTP  gRPC                retryable
├── InvalidInput            invalid_input        400   INVALID_ARGUMENT    no
├── Busy                    busy                 429   UNAVAILABLE         yes
├── Unavailable             unavailable          503   UNAVAILABLE         yes
│   ├── ConnectionFailed    connection_failed    503   UNAVAILABLE         yes
│   └── EngineDown          engine_down          503   UNAVAILABLE         yes
├── Cancelled               cancelled            499   CANCELLED           no
├── SpeechTimeout           timeout              504   DEADLINE_EXCEEDED   no
│   ├── ConnectTimeout      connect_timeout      504   DEADLINE_EXCEEDED   yes
│   ├── FirstAudioTimeout   first_audio_timeout  504   DEADLINE_EXCEEDED   no
│   ├── ChunkTimeout        chunk_timeout        504   DEADLINE_EXCEEDED   no
│   └── TotalTimeout        total_timeout        504   DEADLINE_EXCEEDED   no
└── InternalFault           internal             500   INTERNAL            no
    └── ProtocolFault       protocol             502   INTERNAL            no

`retryable`: the same request may succeed a moment later. The client itself retries only before the first audio.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from grpc import StatusCode

from orpheus_core.request import INPUTS


class SpeechError(Exception):
    """Speech that could not be had; `str()` is one sentence for people."""

    code: ClassVar[str]
    """Stable, for programs."""
    http_status: ClassVar[int]
    grpc_status: ClassVar[StatusCode]
    retryable: ClassVar[bool] = False


class InvalidInput(SpeechError):
    """The request is wrong: no retry will mend it."""

    code = "invalid_input"
    http_status = 400
    grpc_status = StatusCode.INVALID_ARGUMENT


class Busy(SpeechError):
    """Every stream slot is taken, at the server (`full:`) or at a proxy before it (RESOURCE_EXHAUSTED)."""

    code = "busy"
    http_status = 429
    grpc_status = StatusCode.UNAVAILABLE
    retryable = True


class Unavailable(SpeechError):
    """The server cannot speak now: connection lost, or server or model not ready."""

    code = "unavailable"
    http_status = 503
    grpc_status = StatusCode.UNAVAILABLE
    retryable = True


class ConnectionFailed(Unavailable):
    """No connection could be made."""

    code = "connection_failed"


class EngineDown(Unavailable):
    """The language model or the decoder behind the server is dead or stalled (`engine:`)."""

    code = "engine_down"


class Cancelled(SpeechError):
    """The stream was closed, here or by the server, before its end."""

    code = "cancelled"
    http_status = 499
    grpc_status = StatusCode.CANCELLED


class SpeechTimeout(SpeechError):
    """Something took longer than the caller's `Timeouts` allow."""

    code = "timeout"
    http_status = 504
    grpc_status = StatusCode.DEADLINE_EXCEEDED


class ConnectTimeout(SpeechTimeout):
    """No connection within `connect_s`."""

    code = "connect_timeout"
    retryable = True


class FirstAudioTimeout(SpeechTimeout):
    """No audio within `first_audio_s`."""

    code = "first_audio_timeout"


class ChunkTimeout(SpeechTimeout):
    """Nothing for `between_chunks_s` after audio had come."""

    code = "chunk_timeout"


class TotalTimeout(SpeechTimeout):
    """The whole speech took longer than `total_s`."""

    code = "total_timeout"


class InternalFault(SpeechError):
    """The server failed in a way that is its own fault."""

    code = "internal"
    http_status = 500
    grpc_status = StatusCode.INTERNAL


class ProtocolFault(InternalFault):
    """The peer broke the contract of `orpheus_tts`, or does not serve it."""

    code = "protocol"
    http_status = 502


FULL_PREFIX = "full:"
ENGINE_PREFIX = "engine:"
CANCELLED_PREFIX = "cancelled:"

_BY_STATUS: Mapping[StatusCode, type[SpeechError]] = MappingProxyType(
    {
        StatusCode.INVALID_ARGUMENT: InvalidInput,
        StatusCode.RESOURCE_EXHAUSTED: Busy,
        StatusCode.UNAVAILABLE: Unavailable,
        StatusCode.CANCELLED: Cancelled,
        StatusCode.DEADLINE_EXCEEDED: SpeechTimeout,
        StatusCode.INTERNAL: InternalFault,
        StatusCode.NOT_FOUND: ProtocolFault,
        StatusCode.UNIMPLEMENTED: ProtocolFault,
    }
)


def error_from_status(status: StatusCode, message: str) -> SpeechError:
    """The error that a gRPC status with its message means."""
    if status is StatusCode.UNAVAILABLE and (by_prefix := _by_prefix(message)):
        return by_prefix
    if status in _BY_STATUS:
        return _BY_STATUS[status](message or f"{status.name} without a message")
    return InternalFault(f"{status.name}: {message}")


def error_from_message(message: str) -> SpeechError:
    """The error of a message that came inside the stream, without a status: an older server, or a proxy's doing."""
    if message.partition(": ")[0] in INPUTS:
        return InvalidInput(message)
    return _by_prefix(message) or InternalFault(message)


def _by_prefix(message: str) -> SpeechError | None:
    if message.startswith(FULL_PREFIX):
        return Busy(message)
    if message.startswith(ENGINE_PREFIX):
        return EngineDown(message)
    if message.startswith(CANCELLED_PREFIX):
        return Cancelled(message)
    return None
