"""One room, one bridge: leases in a real database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from orpheus_bridge.api.health import health
from orpheus_bridge.errors import Conflict, Unavailable
from orpheus_bridge.rooms.lease import PostgresLease
from orpheus_bridge.runtime import services
from orpheus_bridge.settings import Settings
from orpheus_bridge.voices.embedded import EmbeddedPostgres
from orpheus_bridge.voices.migrate import FOLDER
from orpheus_bridge.voices.options import DatabaseOptions, EmbeddedOptions
from postgres.conftest import SHAPES, Place

pytestmark = pytest.mark.postgres

TABLE_SQL = (FOLDER / "0004_room_leases.sql").read_text("utf-8")


async def pool_of(options: DatabaseOptions) -> "asyncpg.Pool[asyncpg.Record]":
    return await asyncpg.create_pool(
        host=options.host, port=options.port, user=options.user, database=options.name, min_size=0, max_size=8
    )


@pytest.fixture
async def pool(place: Place) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    opened = await pool_of(place.options)
    await opened.execute(TABLE_SQL)
    yield opened
    await opened.close()


async def test_a_room_has_one_owner_until_it_is_given_up(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    first, second = PostgresLease(pool, owner="first"), PostgresLease(pool, owner="second")
    await first.acquire("room")
    await first.acquire("room")
    with pytest.raises(Conflict, match="another bridge"):
        await second.acquire("room")
    await second.acquire("elsewhere")
    await first.release("room")
    await second.acquire("room")
    assert await first.renew() == frozenset()


async def test_of_many_that_want_a_room_at_once_one_gets_it(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    bridges = [PostgresLease(pool, owner=str(number)) for number in range(8)]
    results = await asyncio.gather(*(bridge.acquire("room") for bridge in bridges), return_exceptions=True)
    assert results.count(None) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 7


async def test_a_bridge_that_died_is_succeeded_and_told_when_it_was_not_dead(
    pool: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    sleepy, other = PostgresLease(pool, owner="sleepy", lease_s=0.2), PostgresLease(pool, owner="other")
    for room in ("a", "b"):
        await sleepy.acquire(room)
    await asyncio.sleep(0.3)
    await other.acquire("a")
    assert await sleepy.renew() == {"a"}
    with pytest.raises(Conflict):
        await sleepy.acquire("a")
    assert await sleepy.renew() == frozenset()  # b was nobody else's
    with pytest.raises(Conflict):
        await other.acquire("b")


async def test_renewing_keeps_a_room(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    owner, other = PostgresLease(pool, owner="owner", lease_s=0.6), PostgresLease(pool, owner="other")
    await owner.acquire("room")
    for _ in range(4):
        await asyncio.sleep(0.25)
        assert await owner.renew() == frozenset()
        with pytest.raises(Conflict):
            await other.acquire("room")


async def test_while_the_database_is_away_held_rooms_live_on_and_new_ones_are_refused(tmp_path: Path) -> None:
    async with EmbeddedPostgres(EmbeddedOptions(folder=tmp_path / "embedded")) as postgres:
        pool = await pool_of(postgres.database)
        await pool.execute(TABLE_SQL)
        lease = PostgresLease(pool, owner="owner")
        await lease.acquire("held")
    try:
        await lease.acquire("held")
        assert await lease.renew() == frozenset()
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable, match="who owns a room"):
                await lease.acquire("new")
        await lease.release("held")
    finally:
        pool.terminate()


async def test_without_the_table_every_room_is_granted_from_the_first_connection_on(
    pool: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    await pool.execute("DROP TABLE orpheus_room_leases")
    known: list[bool | None] = [None]
    first, second = (PostgresLease(pool, owner=owner, has_table=lambda: known[0]) for owner in ("first", "second"))
    with pytest.raises(Unavailable):
        await first.acquire("room")
    assert not first.assumes_one_bridge
    known[0] = False
    for lease in (first, second):
        assert lease.assumes_one_bridge
        await lease.acquire("room")
        assert await lease.renew() == frozenset()
        await lease.release("room")


@pytest.mark.parametrize(
    ("may_create", "identity", "assumed"),
    [(False, "june-tts", True), (False, "", False), (True, "june-tts", False)],
)
async def test_health_says_that_one_bridge_is_assumed(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    *,
    may_create: bool,
    identity: str,
    assumed: bool,
) -> None:
    await place.execute(SHAPES["first"] + f"; ALTER TABLE tts_voices OWNER TO {place.options.user};")
    options = place.options if may_create else await place.guest("GRANT SELECT ON tts_voices TO {role}")
    monkeypatch.setenv("DB_HOST", options.host)
    monkeypatch.setenv("DB_NAME", options.name)
    monkeypatch.setenv("DB_USER", options.user)
    monkeypatch.setenv("LIVEKIT_IDENTITY", identity)
    monkeypatch.setenv("ORPHEUS_URL", "127.0.0.1:1")
    monkeypatch.setenv("ORPHEUS_TRITON_METRICS_URL", "http://127.0.0.1:1/metrics")
    async with services(Settings.read()) as served:
        told = await health(served)
    assert (told["one_bridge_assumed"], told["db_own_tables"], told["db_connected"]) == (assumed, may_create, True)
