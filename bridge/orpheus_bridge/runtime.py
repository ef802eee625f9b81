"""The real services, opened in order and closed in the opposite one."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from orpheus_bridge.admission import Admission
from orpheus_bridge.api.services import Services
from orpheus_bridge.desk import Desk
from orpheus_bridge.keys import KeyRing
from orpheus_bridge.readiness import Readiness
from orpheus_bridge.rooms.lease import Lease, PostgresLease
from orpheus_bridge.rooms.opening import open_rooms
from orpheus_bridge.rooms.sink import RoomSink
from orpheus_bridge.settings import Settings
from orpheus_bridge.telemetry.log import logger
from orpheus_bridge.telemetry.metrics import Metrics
from orpheus_bridge.telemetry.triton import TritonMetrics
from orpheus_bridge.voices.database import Database
from orpheus_bridge.voices.migrate import Connection
from orpheus_bridge.voices.opened import OpenVoices, VoicesOptions, opened_voices
from orpheus_client import SpeechClient


@asynccontextmanager
async def services(settings: Settings) -> AsyncIterator[Services]:
    """What the routes work with. Triton, LiveKit and a database elsewhere need not answer yet.

    Raises:
        errors.Unavailable: the embedded database cannot be started.
    """
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(SpeechClient(settings.triton_url))
        readiness = Readiness(engine)
        voices = await stack.enter_async_context(opened_voices(engine, _voices_options(settings)))
        rooms = await _rooms(settings, voices, stack)
        admission = Admission(streams=settings.max_streams, queued=settings.max_queued, wait_s=settings.queue_wait_s)
        metrics.watch("live_streams", "Speeches that hold a slot", lambda: admission.live)
        metrics.watch("queued_streams", "Speeches that wait for a slot", lambda: admission.waiting)
        _watch_start(metrics, settings, readiness)
        _tell_of_access(settings)
        yield Services(
            options=settings.api(),
            engine=engine,
            desk=Desk(engine, admission=admission, readiness=readiness, metrics=metrics),
            voices=voices.book,
            rooms=rooms,
            keys=KeyRing(settings.api_keys, voices.store.key_hashes, may_be_open=settings.may_be_open),
            readiness=readiness,
            metrics=metrics,
            triton=TritonMetrics(settings.triton_metrics_url),
        )


def _voices_options(settings: Settings) -> VoicesOptions:
    return VoicesOptions(
        database=settings.database(),
        voices=settings.voices(),
        upload=settings.uploads(),
        encoder=settings.encoder(),
        transcriber=settings.transcribing(),
    )


async def _rooms(settings: Settings, voices: OpenVoices, stack: AsyncExitStack) -> RoomSink:
    rooms = await open_rooms(settings.livekit(), lease=await _lease(settings, voices))
    stack.push_async_callback(rooms.close)
    return rooms


async def _lease(settings: Settings, voices: OpenVoices) -> Lease | None:
    """Needed where several bridges may join as the same participant, if there is a table to agree in."""
    database = voices.database
    if settings.livekit_identity is None or database is None:
        return None
    lease = PostgresLease(_Connections(database), owner=uuid.uuid4().hex, has_table=lambda: database.has_own_tables)
    # Connects, so that it is known from the start on if the database answers.
    await voices.store.state()
    if lease.assumes_one_bridge:
        logger().warning("rooms_without_lease", reason="no tables of our own: this must be the only bridge")
    return lease


def _watch_start(metrics: Metrics, settings: Settings, readiness: Readiness) -> None:
    """How long it took until it could speak: as whoever started Triton timed it, else as seen from here."""

    def warmup_s() -> float | None:
        return readiness.warmup_s if settings.warmup_s is None else settings.warmup_s

    metrics.watch_once_known("model_load_seconds", "From Triton's start to ready", lambda: settings.model_load_s)
    metrics.watch_once_known("warmup_seconds", "What the first sentence took", warmup_s)


class _Connections:
    """The voices' database, as the leases ask for connections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(self, *, timeout: float | None = None) -> AbstractAsyncContextManager[Connection]:  # noqa: ARG002
        """The database has bounds of its own, and they are as tight."""
        return self._database.connection()


def _tell_of_access(settings: Settings) -> None:
    if settings.api_keys or settings.may_be_open:
        logger().info("access", keys=len(settings.api_keys), open_without_keys=settings.may_be_open)
        return
    logger().warning("access_needs_a_key_in_the_table", fix="set ORPHEUS_API_KEYS: `orpheus-bridge key` makes one")
