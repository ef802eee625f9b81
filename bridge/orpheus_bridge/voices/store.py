"""The seam to wherever voices are kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

TranscriptOrigin = Literal["caller", "machine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceRow:
    """A stored voice without its recording."""

    voice_id: str
    name: str
    created_at: datetime | None
    revision: str
    """Changes whenever anything that is spoken from changes: recording, transcript, codes."""
    transcript: str | None = None
    transcript_origin: TranscriptOrigin | None = None
    language: str = "en"
    has_codes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredReference:
    """What a cloned voice is spoken from."""

    revision: str
    transcript: str
    codes: npt.NDArray[np.uint16]
    """[frames, 7], slot order, each 0..4095."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NewVoice:
    """A voice to register."""

    voice_id: str
    name: str
    wav: bytes
    """24 kHz mono, at most 30 s."""
    language: str = "en"
    transcript: str | None = None
    transcript_origin: TranscriptOrigin | None = None
    codes: npt.NDArray[np.uint16] | None = None
    """[frames, 7]; None where no encoder is loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """What the store can do just now."""

    connected: bool
    has_own_tables: bool
    """False with only the production table and no right to make others: presets, aliases and old rows still work."""
    voices: int = 0


class VoiceStore(Protocol):
    """Every method is bounded in time.

    Raises (all methods): `errors.Unavailable` when the database is away or its pool is exhausted for a second.
    """

    async def rows(self) -> tuple[VoiceRow, ...]:
        """Every stored voice, by name."""
        ...

    async def row(self, voice_id: str) -> VoiceRow | None:
        """One of them."""
        ...

    async def recording(self, voice_id: str) -> bytes | None:
        """The WAV or whatever the old service stored."""
        ...

    async def reference(self, voice_id: str) -> StoredReference | None:
        """What to speak from; None without transcript or codes."""
        ...

    async def add(self, voice: NewVoice) -> VoiceRow:
        """
        Raises:
            errors.Conflict: the id exists.
        """
        ...

    async def set_transcript(self, voice_id: str, transcript: str, origin: TranscriptOrigin) -> VoiceRow:
        """A machine's never replaces a caller's: then the row stays as it is.

        Raises:
            errors.NotFound: there is no such voice.
        """
        ...

    async def set_codes(self, voice_id: str, codes: npt.NDArray[np.uint16], *, recording: bytes) -> VoiceRow:
        """Codes [frames, 7] of this recording, as `recording()` gave it.

        Raises:
            errors.NotFound: there is no such voice.
            errors.Conflict: it has another recording by now.
        """
        ...

    async def delete(self, voice_id: str) -> bool:
        """Whether there was one."""
        ...

    async def aliases(self) -> dict[str, str]:
        """Alias to preset or voice id, from our own table; empty without it."""
        ...

    async def key_hashes(self) -> tuple[str, ...]:
        """Hashes of the access keys that hold, from our own table; empty without it."""
        ...

    async def state(self) -> StoreState:
        """Never raises."""
        ...

    async def close(self) -> None:
        """Gives everything back, within a bound."""
        ...
