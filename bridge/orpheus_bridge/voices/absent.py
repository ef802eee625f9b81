"""A store for a bridge without a database: nothing is stored, and nothing can be."""

# ruff: noqa: ARG002  (it has no use for what it is given)

import numpy as np
import numpy.typing as npt

from orpheus_bridge.errors import Unavailable
from orpheus_bridge.voices.store import NewVoice, StoredReference, StoreState, TranscriptOrigin, VoiceRow

NOT_CONFIGURED = "no database is configured, voices cannot be stored: set DB_HOST"


class AbsentStore:
    """A `VoiceStore` that is empty and takes nothing."""

    async def rows(self) -> tuple[VoiceRow, ...]:
        return ()

    async def row(self, voice_id: str) -> VoiceRow | None:
        return None

    async def recording(self, voice_id: str) -> bytes | None:
        return None

    async def reference(self, voice_id: str) -> StoredReference | None:
        return None

    async def add(self, voice: NewVoice) -> VoiceRow:
        raise Unavailable(NOT_CONFIGURED)

    async def set_transcript(self, voice_id: str, transcript: str, origin: TranscriptOrigin) -> VoiceRow:
        raise Unavailable(NOT_CONFIGURED)

    async def set_codes(self, voice_id: str, codes: npt.NDArray[np.uint16], *, recording: bytes) -> VoiceRow:
        raise Unavailable(NOT_CONFIGURED)

    async def delete(self, voice_id: str) -> bool:
        raise Unavailable(NOT_CONFIGURED)

    async def aliases(self) -> dict[str, str]:
        return {}

    async def key_hashes(self) -> tuple[str, ...]:
        return ()

    async def state(self) -> StoreState:
        return StoreState(connected=False, has_own_tables=False)

    async def close(self) -> None:
        """Nothing to give back."""
