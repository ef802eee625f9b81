"""Voices in memory, where there is no database."""

from datetime import UTC, datetime

import numpy as np

from orpheus_bridge.errors import Conflict, NotFound, Unspeakable
from orpheus_bridge.voices.ports import ListedVoice, Speaker, Upload, VoicesState
from orpheus_client import Reference

CODES = np.arange(14)


class FakeVoices:
    """`Voices` for tests: a few presets, `default`, and whatever is registered. Recordings are not looked at."""

    def __init__(self, *presets: str) -> None:
        self._presets = presets or ("tara", "leo", "长乐")
        self._stored: dict[str, tuple[ListedVoice, Upload]] = {}
        self.fallback: str | None = None

    async def speaker(self, voice_id: str, language: str | None) -> Speaker:  # noqa: ARG002  (nobody is bound to one)
        """A stored voice speaks if it has a transcript."""
        if voice_id == "default":
            return Speaker(name=None)
        if voice_id in self._presets:
            return Speaker(name=voice_id)
        upload = self._found(voice_id)[1]
        if upload.transcript is not None:
            return Speaker(name=voice_id, reference=Reference(text=upload.transcript, codes=CODES))
        if self.fallback is None:
            raise Unspeakable(f"voice_id: {voice_id!a}: has no transcript: set one", param="voice_id")
        return Speaker(name=self.fallback, fell_back=True)

    async def listed(self) -> tuple[ListedVoice, ...]:
        """Stored voices, then presets."""
        return (*(voice for voice, _ in self._stored.values()), *map(_preset, self._presets))

    async def find(self, voice_id: str) -> ListedVoice:
        """A preset before a stored one."""
        return _preset(voice_id) if voice_id in self._presets else self._found(voice_id)[0]

    async def delete(self, voice_id: str) -> None:
        """Only stored ones go."""
        if voice_id in self._presets or voice_id == "default":
            raise Conflict(f"voice_id: {voice_id!a}: a preset: it cannot be deleted", param="voice_id")
        self._found(voice_id)
        del self._stored[voice_id]

    async def register(self, upload: Upload) -> tuple[ListedVoice, tuple[str, ...]]:
        """Whatever the recording is."""
        if upload.voice_id in (*self._stored, *self._presets, "default"):
            raise Conflict(f"voice_id: {upload.voice_id!a}: exists: send another", param="voice_id")
        voice = ListedVoice(
            voice_id=upload.voice_id,
            name=upload.name,
            created_at=datetime.now(UTC),
            kind="stored",
            details={"bytes": len(upload.data)},
        )
        self._stored[upload.voice_id] = (voice, upload)
        return voice, ()

    async def set_transcript(self, voice_id: str, transcript: str) -> ListedVoice:
        """Of a stored voice."""
        voice, upload = self._found(voice_id)
        renewed = Upload(voice_id=voice_id, name=upload.name, data=upload.data, transcript=transcript)
        self._stored[voice_id] = (voice, renewed)
        return voice

    async def state(self) -> VoicesState:
        """Always there."""
        unspeakable = sum(upload.transcript is None for _, upload in self._stored.values())
        return VoicesState(connected=True, has_own_tables=True, stored=len(self._stored), unspeakable=unspeakable)

    def _found(self, voice_id: str) -> tuple[ListedVoice, Upload]:
        if voice_id not in self._stored:
            known = ", ".join((*self._presets, *self._stored))
            raise NotFound(f"voice_id: {voice_id[:40]!a}: send one of {known}", param="voice_id")
        return self._stored[voice_id]


def _preset(name: str) -> ListedVoice:
    return ListedVoice(voice_id=name, name=name, created_at=None, kind="preset", details={})
