"""The application: routes, what stands before them, and what lives behind them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from orpheus_bridge.api import health, openai_models, openai_speech, rooms, synthesize, voices
from orpheus_bridge.api.failures import add_handlers
from orpheus_bridge.api.middleware import AccessGuard, BodyLimit, RequestIds
from orpheus_bridge.api.services import Services

GUARDED = (synthesize.router, voices.router, rooms.router, openai_speech.router, openai_models.router)

Opening = Callable[[], AbstractAsyncContextManager[Services]]
"""Opens what lives behind the routes, and closes it again."""


def create_app(opening: Opening) -> FastAPI:
    """The application; `opening` is entered when it starts and left when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opening() as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="Orpheus bridge",
        summary="Text to speech from Triton, as bytes or into LiveKit rooms",
        version=version("orpheus-triton"),
        lifespan=lifespan,
    )
    # For the document only: AccessGuard has checked the key before a body is read.
    documented = Depends(HTTPBearer(auto_error=False, description="An access key, where one is set."))
    for router in GUARDED:
        app.include_router(router, dependencies=[documented])
    app.include_router(health.router)
    for layer in (BodyLimit, AccessGuard, RequestIds):
        app.add_middleware(layer)
    add_handlers(app)
    return app
