"""`POST /api/tts/synthesize`: into a room, as a stream, or as JSON."""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from orpheus_bridge.api.orders import Placed, Wish, place
from orpheus_bridge.api.responses import SpeechResponse, until_gone
from orpheus_bridge.api.services import Info, RequestInfo, Served, Services
from orpheus_bridge.audio.encoder import Encoder
from orpheus_bridge.audio.formats import audio_format
from orpheus_bridge.audio.wav import wav_file
from orpheus_bridge.rooms.sink import Policy
from orpheus_bridge.speech import predicted_s
from orpheus_bridge.telemetry.clock import elapsed_ms
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.sampling import RANGES

MODEL_TYPE = "orpheus"

router = APIRouter(tags=["speech"])

Name = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""Without control characters."""

Temperature = Annotated[float, Field(ge=RANGES["temperature"][0], le=RANGES["temperature"][1])]
RepetitionPenalty = Annotated[float, Field(ge=RANGES["repetition_penalty"][0], le=RANGES["repetition_penalty"][1])]


class SynthesizeRequest(BaseModel):
    """Fields that are not named here are ignored."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    text: str
    """What is spoken: 1 to 1000 characters unless the service is set otherwise."""
    room_name: Name | None = None
    """A LiveKit room to speak into; empty means none."""
    voice_id: Name = "default"
    """A preset, a stored voice, or an alias."""
    language: Name | None = None
    """BCP-47, matched by its primary subtag; by default the voice's own, English where that is loaded first."""
    temperature: Temperature | None = None
    repetition_penalty: RepetitionPenalty | None = None
    speed: float = Field(default=1.0, ge=0.5, le=2.0)
    """At the same pitch."""
    enable_text_splitting: bool = True
    """False cuts long text only where the model's limit needs it."""
    stream: bool = False
    """Without a room: chunked `audio/wav` instead of JSON."""
    policy: Policy | None = None
    """What happens when the room speaks already: `queue`, `interrupt` or `reject`."""


class SynthesizeAnswer(BaseModel):
    """Of speech that went into a room, or that is sent as JSON."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: str
    request_id: str
    model: str
    model_type: str
    total_time_ms: float
    voice: str
    language: str
    cached: bool
    """Always false: speech is made anew each time."""
    room_name: str | None = None
    sent_ms: float | None = None
    played_ms: float | None = None
    interrupted: bool | None = None
    listeners: int | None = None
    audio_base64: str | None = None
    """A whole WAV file, of speech that went into no room."""
    sample_rate: int | None = None
    duration_s: float | None = None


@router.post(
    "/api/tts/synthesize",
    response_model=SynthesizeAnswer,
    responses={200: {"content": {"audio/wav": {}}, "description": "Spoken; `audio/wav` with `stream`."}},
)
async def synthesize(body: SynthesizeRequest, request: Request, services: Served, info: Info) -> Response:
    """Speaks a text. A `room_name` wins over `stream`; the answer then comes when the speech has been sent.

    A client that goes away ends the speech, in a room too. With an `X-Request-Id` of its own it can also be ended by
    `DELETE /api/tts/requests/{id}`.
    """
    placed = await place(services, _wish(body, services))
    if body.room_name:
        work = _into_room(body.room_name, body.policy or services.options.room_policy, placed, services, info)
        return await until_gone(request.receive, work)
    if body.stream:
        parts = encoded(services, placed, info, "stream", audio_format("wav").encoder())
        return SpeechResponse(parts, media_type="audio/wav", headers=placed.headers)
    return await until_gone(request.receive, _as_json(placed, services, info))


async def encoded(
    services: Services, placed: Placed, info: RequestInfo, api: str, encoder: Encoder
) -> AsyncGenerator[bytes, None]:
    """A speech as parts of a file.

    Raises:
        BridgeError: once.
    """
    with services.desk.open(placed.order, info.ticket(api)) as utterance:
        async with aclosing(utterance.samples()) as samples:
            async for chunk in samples:
                if part := encoder.push(chunk):
                    yield part
        if part := encoder.flush():
            yield part


def _wish(body: SynthesizeRequest, services: Services) -> Wish:
    return Wish(
        text=body.text,
        text_field="text",
        max_chars=services.options.max_text_chars,
        voice=body.voice_id or "default",
        voice_field="voice_id",
        language=body.language or None,
        temperature=body.temperature,
        repetition_penalty=body.repetition_penalty,
        speed=body.speed,
        enable_text_splitting=body.enable_text_splitting,
    )


async def _into_room(room: str, policy: Policy, placed: Placed, services: Services, info: RequestInfo) -> Response:
    with services.desk.open(placed.order, info.ticket("room")) as utterance:
        delivery = await services.rooms.speak(
            room, info.request_id, utterance.samples(), policy=policy, predicted_s=predicted_s(placed.order)
        )
        if delivery.interrupted:
            utterance.outcome = "interrupted"
    room_fields = {
        "room_name": room,
        "sent_ms": round(delivery.sent_ms),
        "played_ms": round(delivery.played_ms),
        "interrupted": delivery.interrupted,
        "listeners": delivery.listeners,
    }
    return JSONResponse(_answer(placed, info) | room_fields, headers=placed.headers)


async def _as_json(placed: Placed, services: Services, info: RequestInfo) -> Response:
    with services.desk.open(placed.order, info.ticket("json")) as utterance:
        samples = await utterance.whole()
    audio_fields = {
        "audio_base64": base64.b64encode(wav_file(samples)).decode(),
        "sample_rate": SAMPLE_RATE_HZ,
        "duration_s": round(len(samples) / SAMPLE_RATE_HZ, 3),
    }
    return JSONResponse(_answer(placed, info) | audio_fields, headers=placed.headers)


def _answer(placed: Placed, info: RequestInfo) -> dict[str, object]:
    return {
        "status": "success",
        "request_id": info.request_id,
        "model": placed.model,
        "model_type": MODEL_TYPE,
        "total_time_ms": elapsed_ms(info.started_s),
        "voice": placed.voice,
        "language": placed.language,
        "cached": False,
    }
