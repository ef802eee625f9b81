"""The seam to the voices: what the routes need of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from orpheus_client import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who speaks for a voice id."""

    name: str | None
    """A preset, or the stored voice's id; None: the checkpoint's default voice."""
    language: str | None = None
    """The stored voice's own, where it is known."""
    reference: Reference | None = None
    """What a stored voice is spoken from."""
    fell_back: bool = False
    """It is `VOICE_FALLBACK` that speaks, since the voice cannot be spoken as itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedVoice:
    """A voice as it is listed."""

    voice_id: str
    name: str
    created_at: datetime | None
    kind: str
    """`preset`, `alias` or `stored`."""
    details: Mapping[str, object]
    """What more there is to say of it; JSON values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A voice to register."""

    voice_id: str
    name: str
    data: bytes
    """WAV, FLAC, OGG, MP3 or M4A."""
    language: str | None = None
    transcript: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VoicesState:
    """For `/health` and metrics."""

    connected: bool
    has_own_tables: bool
    stored: int
    unspeakable: int
    """Stored voices that cannot be spoken as themselves."""


class Voices(Protocol):
    """Raises (all methods): `errors.Unavailable` when the database is needed and away."""

    async def speaker(self, voice_id: str, language: str | None) -> Speaker:
        """
        Raises:
            errors.NotFound: nobody has this id.
            errors.Unspeakable: a stored voice that cannot be spoken as itself, and there is no fallback.
        """
        ...

    async def listed(self) -> tuple[ListedVoice, ...]:
        """Stored voices and presets."""
        ...

    async def find(self, voice_id: str) -> ListedVoice:
        """
        Raises:
            errors.NotFound: nobody has this id.
        """
        ...

    async def delete(self, voice_id: str) -> None:
        """
        Raises:
            errors.NotFound: nobody has this id.
            errors.Conflict: a preset or an alias.
        """
        ...

    async def register(self, upload: Upload) -> tuple[ListedVoice, tuple[str, ...]]:
        """The voice as it is listed now, and notes for the caller.

        Raises:
            errors.Conflict: the id is taken.
            errors.BadRequest, errors.TooLarge: the recording cannot be used, with the reason.
        """
        ...

    async def set_transcript(self, voice_id: str, transcript: str) -> ListedVoice:
        """
        Raises:
            errors.NotFound: no such stored voice.
        """
        ...

    async def state(self) -> VoicesState:
        """Never raises."""
        ...
