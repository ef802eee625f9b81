"""The pool under pressure on a real server: bounds hold, nothing leaks, nothing is half done."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orpheus_bridge.errors import BridgeError, Unavailable
from orpheus_bridge.fake_engine import CHECKPOINTS, FakeEngine
from orpheus_bridge.voices.book import VoiceBook
from orpheus_bridge.voices.embedded import EmbeddedPostgres
from orpheus_bridge.voices.options import DatabaseOptions, EmbeddedOptions, UploadOptions, VoiceOptions
from orpheus_bridge.voices.postgres import PostgresStore
from orpheus_bridge.voices.recording import RecordingReader
from orpheus_bridge.voices.register import Registrar
from orpheus_bridge.voices.store import NewVoice
from postgres.conftest import Place

pytestmark = pytest.mark.postgres

CODES = np.zeros((1, 7), np.uint16)
ANNA = NewVoice(voice_id="anna", name="Anna", wav=b"w", transcript="t", transcript_origin="caller", codes=CODES)
OTHERS = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
BUSY = f"{OTHERS} AND state <> 'idle'"
HALF = "SELECT count(*) AS n FROM tts_voices v LEFT JOIN orpheus_voices d USING (voice_id) WHERE d.codes IS NULL"


async def _occupied(store: PostgresStore, *, release: asyncio.Event, taken: asyncio.Event) -> None:
    async with store.database.connection():
        taken.set()
        await release.wait()


async def test_an_exhausted_pool_refuses_within_a_second(place: Place) -> None:
    store = PostgresStore(replace(place.options, pool_max=2))
    await store.rows()
    release = asyncio.Event()
    marks = [asyncio.Event() for _ in range(2)]
    holders = [asyncio.create_task(_occupied(store, release=release, taken=taken)) for taken in marks]
    await asyncio.gather(*(taken.wait() for taken in marks))
    started_s = time.monotonic()
    results = await asyncio.gather(*(store.rows() for _ in range(50)), return_exceptions=True)
    assert time.monotonic() - started_s < 1.2
    assert {type(result) for result in results} == {Unavailable}
    assert {str(result) for result in results} == {"every connection to the database is taken"}
    release.set()
    await asyncio.gather(*holders)
    assert await store.rows() == ()
    await store.close()


async def test_a_statement_that_hangs_is_ended(place: Place) -> None:
    store = PostgresStore(replace(place.options, pool_max=1, command_s=0.3))
    await store.rows()
    started_s = time.monotonic()
    with pytest.raises(Unavailable):
        async with store.database.connection() as connection:
            await connection.execute("SELECT pg_sleep(60)")
    assert time.monotonic() - started_s < 2
    assert await store.rows() == ()
    assert (await place.execute(BUSY))[0]["n"] == 0
    await store.close()


@pytest.mark.parametrize("pool_max", [1, 4])
async def test_500_cancelled_requests_leak_nothing(pool_max: int, place: Place) -> None:
    """Cancelled after a random number of steps of the loop or a random time: while waiting, connecting, in a
    transaction, while the connection is given back."""
    store = PostgresStore(replace(place.options, pool_max=pool_max, acquire_s=5))
    chance = random.Random(pool_max)

    async def request(number: int) -> None:
        await store.add(replace(ANNA, voice_id=f"v{number}"))
        await store.reference(f"v{number}")
        await store.rows()

    async def cancelled(number: int) -> None:
        task = asyncio.create_task(request(number))
        if chance.random() < 0.5:
            for _ in range(chance.randrange(40)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(chance.random() * 0.03)
        task.cancel()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        assert result is None or isinstance(result, asyncio.CancelledError | BridgeError), result

    for start in range(0, 500, 25):
        await asyncio.wait_for(asyncio.gather(*(cancelled(start + n) for n in range(25))), 60)
    marks = [asyncio.Event() for _ in range(pool_max)]
    release = asyncio.Event()
    holders = [asyncio.create_task(_occupied(store, release=release, taken=taken)) for taken in marks]
    await asyncio.wait_for(asyncio.gather(*(taken.wait() for taken in marks)), 10)
    release.set()
    await asyncio.gather(*holders)
    assert (await place.execute(BUSY))[0]["n"] == 0
    assert (await place.execute(HALF))[0]["n"] == 0, "a voice is there whole or not at all"
    await store.close()
    assert (await place.execute(OTHERS))[0]["n"] == 0


async def test_a_cancelled_first_request_does_not_keep_others_out(place: Place, store: PostgresStore) -> None:
    for steps in range(30):
        task = asyncio.create_task(store.rows())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await store.rows() == ()


async def test_without_prepared_statements(place: Place) -> None:
    store = PostgresStore(replace(place.options, statement_cache_size=0, pool_max=1))
    assert (await store.add(ANNA)).has_codes
    assert len(await store.rows()) == 1
    async with store.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0
    await store.close()


@pytest.mark.parametrize(
    "wrong", [{"host": "/nowhere"}, {"name": "nothing"}, {"user": "nobody"}, {"host": "127.0.0.1", "port": 1}]
)
async def test_a_server_that_cannot_be_had(wrong: dict[str, str], place: Place) -> None:
    store = PostgresStore(replace(place.options, **wrong))  # type: ignore[arg-type]  # fields by name
    with pytest.raises(Unavailable, match=r"^the database does not answer$"):
        await store.rows()
    started_s = time.monotonic()
    results = await asyncio.gather(*(store.rows() for _ in range(100)), return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    assert time.monotonic() - started_s < 0.5, "for a moment nobody tries again"
    assert not (await store.state()).connected
    await store.close()


async def test_a_connection_that_dies_is_replaced(place: Place, store: PostgresStore) -> None:
    await store.add(ANNA)
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1"
    await place.execute(kill, place.options.user)
    for _ in range(3):
        try:
            rows = await store.rows()
        except Unavailable:
            continue
        break
    assert [row.voice_id for row in rows] == ["anna"]


@contextlib.asynccontextmanager
async def _endless_relay(options: DatabaseOptions, folder: Path) -> AsyncIterator[DatabaseOptions]:
    """The same server behind a relay that hands on every byte, but no end of a connection."""
    tasks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_unix_connection(f"{options.host}/.s.PGSQL.{options.port}")
        writers.extend((writer, forth))
        tasks.append(asyncio.create_task(hand_on(reader, forth)))
        tasks.append(asyncio.create_task(hand_on(back, writer)))

    server = await asyncio.start_unix_server(relay, folder / f".s.PGSQL.{options.port}")
    yield replace(options, host=str(folder))
    server.close()
    for task in tasks:
        task.cancel()
    for writer in writers:
        writer.close()
    await asyncio.gather(*tasks, *(writer.wait_closed() for writer in writers), return_exceptions=True)


async def test_a_connection_that_was_ended_and_does_not_know_yet(place: Place, tmp_path: Path) -> None:
    """The server's farewell is there, the end of the connection is not: a restart met in the middle."""
    async with _endless_relay(place.options, tmp_path) as options:
        store = PostgresStore(options)
        await store.add(ANNA)
        await place.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", options.user)
        await asyncio.sleep(0.2)
        with pytest.raises(Unavailable, match=r"^the database does not answer$"):
            await store.rows()
        assert [row.voice_id for row in await store.rows()] == ["anna"]
    await store.close()


async def test_voices_are_served_while_the_server_is_down(embedded_folder: Path) -> None:
    options = EmbeddedOptions(folder=embedded_folder)
    async with EmbeddedPostgres(options) as postgres:
        database = replace(postgres.database, retry_s=0.1)
        store = PostgresStore(database)
        await store.add(ANNA)
        cloning = (replace(CHECKPOINTS[0], can_clone=True),)
        registrar = Registrar(store, RecordingReader(UploadOptions()))
        book = VoiceBook(FakeEngine(checkpoints=cloning), store, VoiceOptions(refresh_s=0.2), registrar=registrar)
        await book.start()
        assert (await book.speaker("anna", None)).reference is not None
    assert not (await store.state()).connected
    assert (await book.speaker("anna", None)).reference is not None
    assert (await book.speaker("tara", None)).name == "tara"
    with pytest.raises(Unavailable):
        await book.set_transcript("anna", "New words.")
    async with EmbeddedPostgres(options):
        await asyncio.sleep(1)
        assert (await book.state()).connected
        await book.set_transcript("anna", "New words.")
        reference = (await book.speaker("anna", None)).reference
        assert reference is not None
        assert reference.text == "New words."
        await book.close()
        await store.close()


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(DatabaseOptions(host="h", password="secret"))  # noqa: S106
