"""Voices without a database, a Triton or a recogniser."""

import asyncio
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from orpheus_bridge.errors import BridgeError, Conflict, NotFound, Unavailable
from orpheus_bridge.voices.encoder import Codes
from orpheus_bridge.voices.store import NewVoice, StoredReference, StoreState, TranscriptOrigin, VoiceRow
from orpheus_core.layout import CODES_PER_SLOT, SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from orpheus_core.pcm import Pcm

KEPT_CALLS = 1000


class FakeStore:
    """A `VoiceStore` in memory.

    Args:
        voices: stored from the start.
        aliases: in its table of aliases.
        key_hashes: in its table of keys.
    """

    def __init__(
        self, *voices: NewVoice, aliases: dict[str, str] | None = None, key_hashes: tuple[str, ...] = ()
    ) -> None:
        self._voices: dict[str, NewVoice] = {}
        self._rows: dict[str, VoiceRow] = {}
        self._aliases = aliases or {}
        self._key_hashes = key_hashes
        self._changes = 0
        self.error: BridgeError | None = None
        """Raised by every call while it is set, but for `state` and `close`."""
        self.delay_s = 0.0
        """Before every answer."""
        self.has_own_tables = True
        self.calls: deque[str] = deque(maxlen=KEPT_CALLS)
        """Names of the latest calls."""
        for voice in voices:
            self._put(voice)

    async def rows(self) -> tuple[VoiceRow, ...]:
        await self._called("rows")
        return tuple(sorted(self._rows.values(), key=lambda row: (row.name, row.voice_id)))

    async def row(self, voice_id: str) -> VoiceRow | None:
        await self._called("row")
        return self._rows.get(voice_id)

    async def recording(self, voice_id: str) -> bytes | None:
        await self._called("recording")
        return self._voices[voice_id].wav if voice_id in self._voices else None

    async def reference(self, voice_id: str) -> StoredReference | None:
        await self._called("reference")
        voice = self._voices.get(voice_id)
        if voice is None or voice.transcript is None or voice.codes is None:
            return None
        revision = self._rows[voice_id].revision
        return StoredReference(revision=revision, transcript=voice.transcript, codes=voice.codes)

    async def add(self, voice: NewVoice) -> VoiceRow:
        await self._called("add")
        if voice.voice_id in self._voices:
            raise Conflict(f"voice_id: {voice.voice_id!r}: exists already: choose another", param="voice_id")
        if not self.has_own_tables and (voice.transcript is not None or voice.codes is not None):
            raise Unavailable("a transcript cannot be kept: there are no tables of our own")
        return self._put(voice)

    async def set_transcript(self, voice_id: str, transcript: str, origin: TranscriptOrigin) -> VoiceRow:
        await self._called("set_transcript")
        voice = self._known(voice_id)
        if origin == "machine" and voice.transcript_origin == "caller":
            return self._rows[voice_id]
        return self._put(replace(voice, transcript=transcript, transcript_origin=origin))

    async def set_codes(self, voice_id: str, codes: npt.NDArray[np.uint16], *, recording: bytes) -> VoiceRow:
        await self._called("set_codes")
        voice = self._known(voice_id)
        if voice.wav != recording:
            raise Conflict(f"voice_id: {voice_id!r}: has another recording by now: encode that one")
        return self._put(replace(voice, codes=codes))

    async def delete(self, voice_id: str) -> bool:
        await self._called("delete")
        self._rows.pop(voice_id, None)
        return self._voices.pop(voice_id, None) is not None

    async def aliases(self) -> dict[str, str]:
        await self._called("aliases")
        return dict(self._aliases)

    async def key_hashes(self) -> tuple[str, ...]:
        await self._called("key_hashes")
        return self._key_hashes

    async def state(self) -> StoreState:
        connected = self.error is None
        return StoreState(connected=connected, has_own_tables=self.has_own_tables, voices=len(self._rows))

    async def close(self) -> None:
        """Nothing to give back."""

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error

    def _known(self, voice_id: str) -> NewVoice:
        if voice_id not in self._voices:
            raise NotFound(f"voice_id: {voice_id!r}: no such voice", param="voice_id")
        return self._voices[voice_id]

    def _put(self, voice: NewVoice) -> VoiceRow:
        self._changes += 1
        before = self._rows.get(voice.voice_id)
        row = VoiceRow(
            voice_id=voice.voice_id,
            name=voice.name,
            created_at=before.created_at if before else datetime.now(UTC).replace(tzinfo=None),
            revision=str(self._changes),
            transcript=voice.transcript,
            transcript_origin=voice.transcript_origin,
            language=voice.language,
            has_codes=voice.codes is not None,
        )
        self._voices[voice.voice_id] = voice
        self._rows[voice.voice_id] = row
        return row


class FakeEncoder:
    """An `Encoder` whose codes tell the loudness of each frame: another recording has others."""

    def __init__(self) -> None:
        self.error: BridgeError | None = None
        """Raised instead of an answer while it is set."""
        self.encoded = 0

    async def encode(self, samples: Pcm) -> Codes:
        if self.error is not None:
            raise self.error
        self.encoded += 1
        padded = np.pad(samples, (0, -len(samples) % SAMPLES_PER_FRAME)).astype(np.float64)
        loudness = np.sqrt(np.mean(padded.reshape(-1, SAMPLES_PER_FRAME) ** 2, axis=1))
        codes: Codes = np.repeat(loudness[:, None] % CODES_PER_SLOT, TOKENS_PER_FRAME, axis=1).astype(np.uint16)
        return codes

    async def close(self) -> None:
        """Nothing to give back."""


class FakeTranscriber:
    """A `Transcriber` that hears what it is told to."""

    def __init__(self, text: str = "What a machine heard.") -> None:
        self.text = text
        self.error: BridgeError | None = None
        """Raised instead of an answer while it is set."""

    async def transcribe(self, wav: bytes, language: str) -> str:  # noqa: ARG002  (it hears what it is told to)
        if self.error is not None:
            raise self.error
        return self.text
