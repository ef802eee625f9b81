"""Ending speech: one request, or whatever a room hears."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict

from orpheus_bridge.api.services import Served
from orpheus_bridge.errors import NotFound

router = APIRouter(tags=["rooms"])


class Ended(BaseModel):
    """What became of the speech."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: str
    request_id: str | None = None
    room_name: str | None = None
    played_ms: float
    """How much of it a room heard, or a stream's reader was sent."""


@router.delete("/api/tts/requests/{request_id}")
async def cancel_request(request_id: Annotated[str, Path(max_length=64)], services: Served) -> Ended:
    """Ends one request, waiting or speaking. Its caller gets 409, or a room's answer with `interrupted`."""
    played_ms = await services.rooms.cancel(request_id)
    if played_ms is None:
        played_ms = await services.desk.cancel(request_id)
    if played_ms is None:
        raise NotFound("request_id: no such request: it may have ended", param="request_id")
    return Ended(status="cancelled", request_id=request_id, played_ms=round(played_ms, 1))


@router.post("/api/rooms/{room_name}/interrupt")
async def interrupt_room(room_name: Annotated[str, Path(max_length=255)], services: Served) -> Ended:
    """Ends what the room hears and everything that waits for it; for a listener who begins to speak."""
    played_ms = await services.rooms.interrupt(room_name)
    return Ended(status="interrupted", room_name=room_name, played_ms=round(played_ms, 1))
