"""Voices: list, register, look at, correct, delete."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, File, Form, Path, UploadFile
from pydantic import BaseModel, ConfigDict

from orpheus_bridge.api.services import Served
from orpheus_bridge.errors import BadRequest, TooLarge
from orpheus_bridge.voices.ports import ListedVoice, Upload

router = APIRouter(tags=["voices"])

VoiceId = Annotated[str, Path(max_length=255)]


class Voice(BaseModel):
    """A voice; stored ones have further fields."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    voice_id: str
    name: str
    created_at: datetime | None
    """None for presets."""
    kind: str
    """`preset`, `alias` or `stored`."""


class VoiceList(BaseModel):
    """Every voice."""

    total: int
    voices: list[Voice]


class Cloned(Voice):
    """A voice that was just registered."""

    status: str
    voice_name: str
    message: str


class Done(BaseModel):
    """That it was done."""

    status: str
    message: str


class Transcript(BaseModel):
    """What is said in a voice's recording."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    transcript: str
    """No longer than a text that the checkpoint which clones takes at once."""


@router.get("/api/voices")
async def list_voices(services: Served) -> VoiceList:
    """Stored voices and presets."""
    voices = [_shown(voice) for voice in await services.voices.listed()]
    return VoiceList(total=len(voices), voices=voices)


@router.post("/api/voices/clone")
async def clone_voice(
    *,
    services: Served,
    voice_id: Annotated[str, Form(max_length=255)],
    voice_name: Annotated[str, Form(max_length=255)],
    file: Annotated[UploadFile, File(description="WAV, FLAC, OGG, MP3 or M4A; what is beyond 30 s is left out.")],
    language: Annotated[str | None, Form(max_length=35)] = None,
    transcript: Annotated[
        str | None, Form(description="No longer than a text that the checkpoint which clones takes at once.")
    ] = None,
) -> Cloned:
    """Registers a voice from a recording. Without a transcript it is stored, but not spoken as itself yet."""
    limit_bytes = services.options.max_upload_bytes
    data = await file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise TooLarge(f"file: more than {limit_bytes} bytes: send a shorter recording", param="file")
    upload = Upload(
        voice_id=voice_id, name=voice_name, data=data, language=language or None, transcript=transcript or None
    )
    voice, notes = await services.voices.register(upload)
    return Cloned(
        **_shown(voice).model_dump(),
        status="success",
        voice_name=voice.name,
        message=" ".join((f"Voice {voice.voice_id} is registered.", *notes)),
    )


@router.get("/api/voices/{voice_id}")
async def get_voice(voice_id: VoiceId, services: Served) -> Voice:
    """One voice."""
    return _shown(await services.voices.find(voice_id))


@router.put("/api/voices/{voice_id}/transcript")
async def set_transcript(voice_id: VoiceId, body: Transcript, services: Served) -> Voice:
    """Sets or corrects what is said in a stored voice's recording."""
    if not body.transcript.strip():
        raise BadRequest("transcript: empty: send what is said in the recording", param="transcript")
    return _shown(await services.voices.set_transcript(voice_id, body.transcript))


@router.delete("/api/voices/{voice_id}")
async def delete_voice(voice_id: VoiceId, services: Served) -> Done:
    """Deletes a stored voice; presets and aliases are refused with 409."""
    await services.voices.delete(voice_id)
    return Done(status="success", message=f"Voice {voice_id} is deleted.")


def _shown(voice: ListedVoice) -> Voice:
    named = {"voice_id": voice.voice_id, "name": voice.name, "created_at": voice.created_at, "kind": voice.kind}
    return Voice.model_validate({**voice.details, **named})
