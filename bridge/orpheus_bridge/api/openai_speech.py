"""`POST /v1/audio/speech`, as OpenAI's clients ask for it."""

import base64
import json
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from orpheus_bridge.api.failures import openai_body
from orpheus_bridge.api.openai_models import check_model
from orpheus_bridge.api.openai_names import voice_id
from orpheus_bridge.api.orders import Placed, Wish, place
from orpheus_bridge.api.responses import SpeechResponse
from orpheus_bridge.api.services import Info, RequestInfo, Served, Services
from orpheus_bridge.api.synthesize import Name, RepetitionPenalty, Temperature, encoded
from orpheus_bridge.audio.encoder import Encoder
from orpheus_bridge.audio.formats import audio_format
from orpheus_bridge.audio.stretch import MAX_SPEED, MIN_SPEED
from orpheus_bridge.desk import Utterance
from orpheus_bridge.errors import BridgeError
from orpheus_core.layout import TOKENS_PER_FRAME

SSE_MEDIA_TYPE = "text/event-stream"
API = "openai"

CHARS_PER_TOKEN = 4
"""Of the text; only the server could count them, and nobody is billed by it."""

router = APIRouter(tags=["openai"])


class VoiceId(BaseModel):
    """A voice named as an object."""

    id: Name


class SpeechRequest(BaseModel):
    """OpenAI's fields, and three that the model knows besides; others are ignored."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    model: Name
    input: str
    """What is spoken: 1 to 4096 characters unless the service is set otherwise."""
    voice: Name | VoiceId
    instructions: Annotated[str, Field(max_length=4096)] | None = None
    """Accepted, without effect: the model takes none."""
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: float = Field(default=1.0, ge=MIN_SPEED, le=MAX_SPEED)
    """At the same pitch."""
    stream_format: Literal["audio", "sse"] = "audio"
    language: Name | None = None
    temperature: Temperature | None = None
    repetition_penalty: RepetitionPenalty | None = None


@router.post(
    "/v1/audio/speech",
    response_class=Response,
    responses={200: {"content": {"audio/*": {}, SSE_MEDIA_TYPE: {}}, "description": "The speech, as it comes."}},
)
async def speech(body: SpeechRequest, services: Served, info: Info) -> Response:
    """Speaks a text; the first bytes are sent with the first samples."""
    await check_model(services, body.model)
    placed = await place(services, await _wish(body, services))
    wanted = audio_format(body.response_format)
    if body.stream_format == "sse":
        events = _events(services, placed, info, wanted.encoder())
        return SpeechResponse(events, media_type=SSE_MEDIA_TYPE, headers=placed.headers)
    parts = encoded(services, placed, info, API, wanted.encoder())
    return SpeechResponse(parts, media_type=wanted.media_type, headers=placed.headers)


async def _wish(body: SpeechRequest, services: Services) -> Wish:
    name = body.voice if isinstance(body.voice, str) else body.voice.id
    return Wish(
        text=body.input,
        text_field="input",
        max_chars=services.options.max_input_chars,
        voice=await voice_id(services, name),
        voice_field="voice",
        language=body.language,
        temperature=body.temperature,
        repetition_penalty=body.repetition_penalty,
        speed=body.speed,
    )


async def _events(
    services: Services, placed: Placed, info: RequestInfo, encoder: Encoder
) -> AsyncGenerator[bytes, None]:
    """The speech as server-sent events; what fails after the first is an event too.

    Raises:
        BridgeError: before the first event.
    """
    began = False
    try:
        with services.desk.open(placed.order, info.ticket(API)) as utterance:
            async with aclosing(utterance.samples()) as samples:
                async for chunk in samples:
                    if part := encoder.push(chunk):
                        began = True
                        yield _delta(part)
            if part := encoder.flush():
                yield _delta(part)
            yield _event({"type": "speech.audio.done", "usage": _usage(placed, utterance)})
    except BridgeError as error:
        if not began:
            raise
        yield _event({"type": "error", **openai_body(error)})


def _usage(placed: Placed, utterance: Utterance) -> dict[str, int]:
    spoken = math.ceil(len(placed.order.text) / CHARS_PER_TOKEN)
    made = utterance.frames * TOKENS_PER_FRAME
    return {"input_tokens": spoken, "output_tokens": made, "total_tokens": spoken + made}


def _delta(part: bytes) -> bytes:
    return _event({"type": "speech.audio.delta", "audio": base64.b64encode(part).decode()})


def _event(fields: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"
