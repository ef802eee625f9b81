"""`/v1/models` and `/v1/audio/voices`."""

from typing import Annotated

from fastapi import APIRouter, Path

from orpheus_bridge.api.openai_names import MODEL, MODEL_ALIASES, VOICE_ALIASES, model_names, voice_id
from orpheus_bridge.api.services import Served, Services
from orpheus_bridge.errors import NotFound, from_speech
from orpheus_client import SpeechError

OWNER = "orpheus-triton"

router = APIRouter(tags=["openai"])


class NoSuchModel(NotFound):
    """A `model` that means nothing here."""

    code = "model_not_found"


@router.get("/v1/models")
async def models(services: Served) -> dict[str, object]:
    """Every name that `model` may have; `alias_of` marks OpenAI's."""
    return {"object": "list", "data": [_model(name) for name in await _names(services)]}


@router.get("/v1/models/{model}")
async def model(model: Annotated[str, Path(max_length=255)], services: Served) -> dict[str, object]:
    """One of them."""
    await check_model(services, model)
    return _model(model)


@router.get("/v1/audio/voices")
async def voices(services: Served) -> dict[str, object]:
    """Every voice, OpenAI's names at the end with `alias_of`."""
    listed = [{"id": v.voice_id, "name": v.name, "kind": v.kind} for v in await services.voices.listed()]
    known = {voice["id"] for voice in listed}
    names = [name for name in VOICE_ALIASES if services.options.openai_aliases and name not in known]
    aliases = [{"id": n, "name": n, "kind": "alias", "alias_of": await voice_id(services, n)} for n in names]
    return {"voices": listed + aliases}


async def check_model(services: Services, name: str) -> None:
    """
    Raises:
        NoSuchModel: `model` is none of those that are listed.
        BridgeError: the server cannot be asked.
    """
    names = await _names(services)
    if name not in names:
        raise NoSuchModel(f"model: {name[:40]!a}: send one of {', '.join(names)}", param="model")


async def _names(services: Services) -> tuple[str, ...]:
    try:
        checkpoints = await services.engine.checkpoints()
    except SpeechError as error:
        raise from_speech(error) from None
    return model_names(services, tuple(checkpoint.name for checkpoint in checkpoints))


def _model(name: str) -> dict[str, object]:
    alias = {"alias_of": MODEL} if name in MODEL_ALIASES else {}
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER, **alias}
