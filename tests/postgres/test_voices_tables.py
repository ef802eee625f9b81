"""The production table stays the older service's, in both shapes; ours stand beside it."""

import asyncio
import hashlib
import sys
from dataclasses import asdict
from pathlib import Path

import asyncpg
import numpy as np
import pytest

from orpheus_bridge.errors import BadRequest, Conflict, Failed, NotFound, Unavailable
from orpheus_bridge.voices.migrate import Migration, migrate, migrations
from orpheus_bridge.voices.postgres import PostgresStore
from orpheus_bridge.voices.store import NewVoice
from postgres.conftest import SHAPES, Place

pytestmark = pytest.mark.postgres

CODES = np.arange(14, dtype=np.uint16).reshape(2, 7) + 4000
OWN_TABLES = {"orpheus_migrations", "orpheus_voices", "orpheus_voice_aliases", "orpheus_api_keys"}
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
STATE = """
SELECT (SELECT json_agg(t ORDER BY t.voice_id) FROM tts_voices t)::text,
       (SELECT json_agg(row(column_name, data_type, is_nullable, column_default) ORDER BY ordinal_position)
        FROM information_schema.columns WHERE table_name = 'tts_voices')::text,
       (SELECT json_agg(indexdef ORDER BY indexname) FROM pg_indexes WHERE tablename = 'tts_voices')::text
"""


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_table_is_left_as_it_is(shape: str, place: Place, store: PostgresStore) -> None:
    await place.execute(SHAPES[shape] + f"; ALTER TABLE tts_voices OWNER TO {place.options.user};")
    before = await place.execute(STATE)
    rows = await store.rows()
    assert await place.execute(STATE) == before
    assert {row.voice_id for row in rows} == {"default", "anna", "ben"}
    assert {row.voice_id: row.name for row in rows}["anna"] == ("Anna" if shape == "first" else "anna")
    assert all(row.created_at is not None and not row.has_codes and row.transcript is None for row in rows)
    assert await store.recording("anna") == b"\1\2"
    state = await store.state()
    assert (state.connected, state.has_own_tables, state.voices) == (True, True, 3)


async def test_an_absent_table_is_made_in_the_first_shape(place: Place, store: PostgresStore) -> None:
    assert await store.rows() == ()
    columns = "SELECT column_name, data_type, character_maximum_length AS chars, is_nullable FROM "
    columns += "information_schema.columns WHERE table_name = 'tts_voices' ORDER BY ordinal_position"
    made = await place.execute(columns)
    assert [tuple(row) for row in made] == [
        ("voice_id", "character varying", 255, "NO"),
        ("name", "character varying", 255, "NO"),
        ("audio_data", "bytea", None, "NO"),
        ("created_at", "timestamp without time zone", None, "YES"),
        ("updated_at", "timestamp without time zone", None, "YES"),
    ]
    assert {row["tablename"] for row in await place.execute(TABLES)} >= OWN_TABLES | {"tts_voices"}


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_older_service_works_on(shape: str, place: Place, store: PostgresStore) -> None:
    """Its own statements, after our migrations and with our details on a row."""
    await place.execute(SHAPES[shape] + f"; ALTER TABLE tts_voices OWNER TO {place.options.user};")
    await store.set_transcript("anna", "Hello, I am Anna.", "caller")
    await store.set_codes("anna", CODES, recording=b"\1\2")
    insert = "INSERT INTO tts_voices (voice_id, name, audio_data) VALUES ($1, $2, $3)"
    await place.execute(insert, "carl", "Carl", b"\5\6")
    listed = await place.execute("SELECT voice_id, name, created_at FROM tts_voices ORDER BY created_at DESC")
    assert {row["voice_id"] for row in listed} == {"default", "anna", "ben", "carl"}
    audio = await place.execute("SELECT audio_data FROM tts_voices WHERE voice_id = $1", "anna")
    assert audio[0]["audio_data"] == b"\1\2"
    assert (await store.row("carl")) is not None
    await place.execute("DELETE FROM tts_voices WHERE voice_id = $1", "anna")
    assert await store.row("anna") is None
    assert await store.reference("anna") is None
    assert await place.execute("SELECT * FROM orpheus_voices") == []


async def test_what_was_known_of_a_recording_goes_with_it(place: Place, store: PostgresStore) -> None:
    added = await store.add(
        NewVoice(voice_id="a", name="A", wav=b"old", transcript="Old words.", transcript_origin="caller", codes=CODES)
    )
    before = await store.reference("a")
    assert before is not None
    assert before.revision == added.revision
    await place.execute("UPDATE tts_voices SET name = $2 WHERE voice_id = $1", "a", "Another name")
    renamed = await store.row("a")
    assert renamed is not None
    assert (renamed.name, renamed.transcript, renamed.has_codes) == ("Another name", "Old words.", True)
    await place.execute("UPDATE tts_voices SET audio_data = $2 WHERE voice_id = $1", "a", b"new")
    replaced = await store.row("a")
    assert replaced is not None
    assert (replaced.transcript, replaced.has_codes) == (None, False)
    assert len({added.revision, renamed.revision, replaced.revision}) == 3
    assert await store.reference("a") is None
    with pytest.raises(Conflict, match="another recording by now"):
        await store.set_codes("a", CODES, recording=b"old")
    encoded = await store.set_codes("a", CODES + 1, recording=b"new")
    assert (encoded.transcript, encoded.has_codes) == (None, True)
    assert (await store.set_transcript("a", "New words.", "machine")).has_codes
    reference = await store.reference("a")
    assert reference is not None
    assert reference.transcript == "New words."
    np.testing.assert_array_equal(reference.codes, CODES + 1)
    assert reference.codes.dtype == np.uint16


async def test_a_restored_dump_keeps_what_is_known(place: Place, store: PostgresStore) -> None:
    await store.add(NewVoice(voice_id="a", name="A", wav=b"w", transcript="Words.", transcript_origin="caller"))
    await store.close()
    await place.execute("UPDATE orpheus_voices SET recording_xmin = '1'")
    row = await store.row("a")
    assert row is not None
    assert row.transcript == "Words."
    noted = await place.execute(
        "SELECT recording_xmin = (SELECT xmin::text FROM tts_voices) AS same FROM orpheus_voices"
    )
    assert noted[0]["same"]


async def test_adding(place: Place, store: PostgresStore) -> None:
    await store.rows()
    voice = NewVoice(voice_id="a", name="A", wav=b"w", language="fr", codes=CODES)
    row = await store.add(voice)
    assert (row.language, row.has_codes, row.transcript, row.name) == ("fr", True, None, "A")
    kept = await place.execute("SELECT codes, recording_sha256 FROM orpheus_voices")
    assert kept[0]["codes"] == CODES.astype("<u2").tobytes()
    assert kept[0]["recording_sha256"] == hashlib.sha256(b"w").digest()
    with pytest.raises(Conflict, match="'a': exists already"):
        await store.add(voice)
    with pytest.raises(BadRequest, match="too long"):
        await store.add(NewVoice(voice_id="b" * 256, name="B", wav=b"w"))
    assert await store.delete("a")
    assert not await store.delete("a")
    with pytest.raises(NotFound):
        await store.set_transcript("a", "Gone.", "caller")
    with pytest.raises(NotFound):
        await store.set_codes("a", CODES, recording=b"w")


async def test_a_machines_transcript_never_replaces_a_callers(store: PostgresStore) -> None:
    await store.add(NewVoice(voice_id="a", name="A", wav=b"w"))
    assert (await store.set_transcript("a", "by machine", "machine")).transcript_origin == "machine"
    assert (await store.set_transcript("a", "by machine again", "machine")).transcript == "by machine again"
    assert (await store.set_transcript("a", "by caller", "caller")).transcript == "by caller"
    assert (await store.set_transcript("a", "by machine", "machine")).transcript == "by caller"
    assert (await store.set_transcript("a", "by caller again", "caller")).transcript == "by caller again"


async def test_aliases_and_keys(place: Place, store: PostgresStore) -> None:
    assert await store.aliases() == {}
    await place.execute("INSERT INTO orpheus_voice_aliases VALUES ('june', 'tara');")
    await place.execute("INSERT INTO orpheus_api_keys (key_hash, revoked_at) VALUES ('good', NULL), ('bad', now());")
    assert await store.aliases() == {"june": "tara"}
    assert await store.key_hashes() == ("good",)


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_role_that_may_create_nothing(shape: str, place: Place) -> None:
    await place.execute(SHAPES[shape])
    grants = "GRANT SELECT, INSERT, UPDATE, DELETE ON tts_voices TO {role}"
    if shape == "second":
        grants += "; GRANT USAGE ON tts_voices_id_seq TO {role}"
    store = PostgresStore(await place.guest(grants))
    try:
        assert {row.voice_id for row in await store.rows()} == {"anna", "ben", "default"}
        assert await store.aliases() == {}
        assert await store.key_hashes() == ()
        assert await store.reference("anna") is None
        assert await store.recording("anna") == b"\1\2"
        state = await store.state()
        assert (state.connected, state.has_own_tables, state.voices) == (True, False, 3)
        with pytest.raises(Unavailable, match="a transcript cannot be kept"):
            await store.set_transcript("anna", "Words.", "caller")
        assert (await store.add(NewVoice(voice_id="new", name="New", wav=b"w"))).voice_id == "new"
        assert await store.delete("new")
    finally:
        await store.close()
    assert {row["tablename"] for row in await place.execute(TABLES)} == {"tts_voices"}


async def test_a_role_that_may_only_read(place: Place) -> None:
    await place.execute(SHAPES["first"])
    store = PostgresStore(await place.guest("GRANT SELECT ON tts_voices TO {role}"))
    try:
        assert len(await store.rows()) == 3
        with pytest.raises(Unavailable, match="does not let this service"):
            await store.add(NewVoice(voice_id="new", name="New", wav=b"w"))
    finally:
        await store.close()


async def test_without_any_table_and_right_there_are_no_rows(place: Place) -> None:
    store = PostgresStore(await place.guest("SELECT 1"))
    try:
        assert await store.rows() == ()
        assert (await store.state()).connected
        with pytest.raises(Unavailable, match="no table of voices"):
            await store.recording("anna")
    finally:
        await store.close()


async def test_tables_that_somebody_else_made_are_used(place: Place, store: PostgresStore) -> None:
    await store.add(NewVoice(voice_id="a", name="A", wav=b"w", transcript="Words.", transcript_origin="caller"))
    guest = PostgresStore(await place.guest("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"))
    try:
        row = await guest.row("a")
        assert row is not None
        assert row.transcript == "Words."
        assert (await guest.state()).has_own_tables
    finally:
        await guest.close()


STARTER = """
import asyncio, sys
from orpheus_bridge.voices.options import DatabaseOptions
from orpheus_bridge.voices.postgres import PostgresStore

async def main():
    store = PostgresStore(DatabaseOptions(host=sys.argv[1], name=sys.argv[2], user=sys.argv[2]))
    print("ready", flush=True)
    sys.stdin.readline()
    state = await store.state()
    await store.close()
    print(state.connected, state.has_own_tables)

asyncio.run(main())
"""


async def test_four_processes_at_once_migrate_once(place: Place) -> None:
    options = place.options
    pipe = asyncio.subprocess.PIPE
    starters = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", STARTER, options.host, options.name, stdin=pipe, stdout=pipe
        )
        for _ in range(4)
    ]
    for starter in starters:
        assert starter.stdout is not None
        assert await asyncio.wait_for(starter.stdout.readline(), 60) == b"ready\n"
    # All wait for the go, so that they meet at the lock.
    answers = await asyncio.wait_for(asyncio.gather(*(starter.communicate(b"go\n") for starter in starters)), 60)
    assert [out.splitlines()[-1] for out, _ in answers] == [b"True True"] * 4
    ledger = await place.execute("SELECT version, checksum FROM orpheus_migrations ORDER BY version")
    assert [tuple(row) for row in ledger] == [(m.version, m.checksum) for m in migrations()]


async def _migrate(place: Place, wanted: tuple[Migration, ...]) -> bool:
    async with asyncpg.create_pool(
        host=place.options.host, user=place.options.user, database=place.options.name, min_size=0, max_size=1
    ) as pool, pool.acquire() as connection:  # fmt: skip
        return await migrate(connection, wanted, timeout_s=10)


async def test_migrations_go_forward_only(place: Place) -> None:
    first, *rest = migrations()
    assert await _migrate(place, (first,))
    assert await _migrate(place, (first, *rest))
    assert await _migrate(place, (first,)), "a newer bridge's tables are no fault"
    changed = Migration(**{**asdict(first), "sql": first.sql + " "})
    with pytest.raises(Failed, match=r"migration 0001 voices: was changed after it was applied"):
        await _migrate(place, (changed, *rest))


async def test_a_migration_that_fails_leaves_nothing(place: Place) -> None:
    broken = Migration(version=2, name="broken", sql="CREATE TABLE half (x INT); SELECT no_such_function();")
    with pytest.raises(asyncpg.UndefinedFunctionError):
        await _migrate(place, (migrations()[0], broken))
    assert await place.execute(TABLES) == []


def test_numbers_without_a_gap(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    (tmp_path / "0003_c.sql").write_text("SELECT 1")
    with pytest.raises(Failed, match="0003 c: number 0002 was expected"):
        migrations(tmp_path)
    (tmp_path / "2-b.sql").write_text("SELECT 1")
    with pytest.raises(Failed, match=r"2-b\.sql: name it like"):
        migrations(tmp_path)
