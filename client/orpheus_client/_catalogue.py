"""What the server has loaded: its checkpoints, asked for seldom."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tritonclient.grpc import service_pb2

from orpheus_client._connection import Connection
from orpheus_client._errors import ProtocolFault
from orpheus_client._wire import MODEL
from orpheus_core.checkpoint import PARAMETER, Checkpoint, load_checkpoints
from orpheus_core.errors import InvalidInput

Checkpoints = tuple[Checkpoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice that can be asked for by name."""

    name: str
    language: str
    checkpoint: str
    is_default: bool


def voices_of(checkpoints: Checkpoints) -> tuple[Voice, ...]:
    """Every preset voice, in the order of the list."""
    return tuple(
        Voice(name=name, language=language, checkpoint=c.name, is_default=name == c.default_voice)
        for c in checkpoints
        for language in c.languages
        for name in c.voices_of(language)
    )


async def read_checkpoints(connection: Connection) -> Checkpoints:
    """The list in `orpheus_tts`'s configuration.

    Raises:
        ProtocolFault: there is no such model or no readable list.
        SpeechError: the server was not reached.
    """
    await connection.open()
    answer = await connection.ask("ModelConfig", service_pb2.ModelConfigRequest(name=MODEL))
    parameters = answer.config.parameters
    if PARAMETER not in parameters:
        raise ProtocolFault(f"{MODEL}: its configuration has no parameter {PARAMETER}: render the repository again")
    try:
        return load_checkpoints(parameters[PARAMETER].string_value)
    except InvalidInput as error:
        raise ProtocolFault(f"{MODEL}: {error}") from None


class Catalogue:
    """One list of checkpoints, kept for `keep_s` and asked for by one caller at a time."""

    def __init__(self, read: Callable[[], Awaitable[Checkpoints]], *, keep_s: float) -> None:
        self._read = read
        self._keep_s = keep_s
        self._lock = asyncio.Lock()
        self._kept: Checkpoints = ()
        self._stale_at = 0.0

    async def checkpoints(self) -> Checkpoints:
        """The list, at most `keep_s` old.

        Raises:
            SpeechError: it had to be asked for and could not be had; nothing old is given out instead.
        """
        async with self._lock:
            now_s = asyncio.get_running_loop().time()
            if not self._kept or now_s >= self._stale_at:
                self._kept = await self._read()
                self._stale_at = now_s + self._keep_s
            return self._kept
