"""How the service is: for people, for Kubernetes, for Prometheus."""

from importlib.metadata import version

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from orpheus_bridge.api.services import Served, Services
from orpheus_bridge.api.synthesize import MODEL_TYPE
from orpheus_client import SpeechError
from orpheus_core.checkpoint import Checkpoint

MODE = "orpheus_tts"
"""Tells this service from the one before it."""

router = APIRouter(tags=["health"])


@router.get("/health")
async def health(services: Served) -> dict[str, object]:
    """What the service is and what it is connected to; always 200 while the process lives."""
    checkpoints = await _checkpoints(services)
    rooms = await services.rooms.state()
    voices = await services.voices.state()
    return {
        "status": "ok",
        "mode": MODE,
        "model": ", ".join(checkpoint.name for checkpoint in checkpoints) or None,
        "model_type": MODEL_TYPE,
        "version": version("orpheus-triton"),
        "supported_languages": sorted({language for c in checkpoints for language in c.languages}),
        "engine_connected": bool(checkpoints),
        "livekit_configured": rooms.configured,
        "livekit_connected": rooms.connected,
        "rooms": rooms.rooms,
        "one_bridge_assumed": rooms.one_bridge_assumed,
        "db_connected": voices.connected,
        "db_own_tables": voices.has_own_tables,
        "voices": voices.stored,
        "voices_unspeakable": voices.unspeakable,
        "draining": services.desk.draining,
        "gpu": await _gpu(services),
    }


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/health/ready", responses={503: {"description": "It cannot speak now."}})
async def ready(services: Served) -> Response:
    """Whether speech goes through the whole chain: somebody was heard lately, or it is full, or a probe speaks."""
    if services.desk.draining:
        return JSONResponse({"status": "draining"}, status_code=503)
    verdict = await services.readiness.verdict()
    body = {"status": "ready" if verdict.ready else "not_ready", "proof": verdict.by}
    return JSONResponse(body, status_code=200 if verdict.ready else 503)


@router.get("/stats")
async def stats(services: Served) -> dict[str, object]:
    """Figures since the start, latencies of the latest thousand."""
    return {
        "status": "ok",
        "live_streams": services.desk.live_streams,
        "queued_streams": services.desk.queued_streams,
        "open_requests": services.desk.open_requests,
        **services.metrics.summary(),
    }


@router.get("/metrics", response_class=Response, responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}})
async def metrics(services: Served) -> Response:
    """For Prometheus."""
    rooms = await services.rooms.state()
    voices = await services.voices.state()
    services.metrics.state(
        database_connected=voices.connected,
        voices=voices.stored,
        voices_unspeakable=voices.unspeakable,
        livekit_connected=rooms.connected,
        rooms=rooms.rooms,
    )
    services.metrics.model_loads((await services.triton.figures()).load_s)
    return Response(services.metrics.page(), media_type=CONTENT_TYPE_LATEST)


async def _checkpoints(services: Services) -> tuple[Checkpoint, ...]:
    try:
        return await services.engine.checkpoints()
    except SpeechError:
        return ()


async def _gpu(services: Services) -> dict[str, object]:
    cards = (await services.triton.figures()).gpus
    return {"available": bool(cards), "count": len(cards), "cards": list(cards.values())}
