"""Voices in PostgreSQL: the production table as it is, and what we know besides in tables of our own."""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import asyncpg
import numpy as np
import numpy.typing as npt

from orpheus_bridge.errors import BadRequest, BridgeError, Conflict, NotFound, Unavailable
from orpheus_bridge.voices.database import Database
from orpheus_bridge.voices.migrate import Connection
from orpheus_bridge.voices.options import DatabaseOptions
from orpheus_bridge.voices.store import NewVoice, StoredReference, StoreState, TranscriptOrigin, VoiceRow
from orpheus_core.layout import TOKENS_PER_FRAME

CODES_DTYPE = np.dtype("<u2")


class PostgresStore:
    """A `VoiceStore`; it connects when it is first asked, and belongs to the event loop in which that happens."""

    def __init__(self, options: DatabaseOptions) -> None:
        self._database = Database(options, when_opened=_NOTE_ROW_VERSIONS)

    @property
    def database(self) -> Database:
        """For whoever else keeps something in our tables."""
        return self._database

    async def rows(self) -> tuple[VoiceRow, ...]:
        """Every stored voice, by name."""
        async with self._database.connection() as connection:
            return tuple(_row(record) for record in await self._fetch_rows(connection, None))

    async def row(self, voice_id: str) -> VoiceRow | None:
        """One of them."""
        async with self._database.connection() as connection:
            return await self._one_row(connection, voice_id)

    async def recording(self, voice_id: str) -> bytes | None:
        """What is stored as its audio."""
        async with self._database.connection() as connection:
            data: bytes | None = await connection.fetchval(_RECORDING, voice_id)
            return data

    async def reference(self, voice_id: str) -> StoredReference | None:
        """What to speak from; None without transcript or codes."""
        async with self._database.connection() as connection:
            record = await connection.fetchrow(_REFERENCE, voice_id) if self._database.has_own_tables else None
        if record is None:
            return None
        codes = np.frombuffer(record["codes"], CODES_DTYPE).astype(np.uint16).reshape(-1, TOKENS_PER_FRAME)
        return StoredReference(revision=record["revision"], transcript=record["transcript"], codes=codes)

    async def add(self, voice: NewVoice) -> VoiceRow:
        """
        Raises:
            errors.Conflict: the id exists.
            errors.BadRequest: id or name do not fit the table's columns.
            errors.Unavailable: a transcript is given, and nowhere to keep it.
        """
        if voice.transcript is not None:
            await self._need_own_tables("a transcript")
        async with self._database.connection() as connection:
            with _told_by_field(voice):
                async with connection.transaction():
                    await connection.execute(_ADD, voice.voice_id, voice.name, voice.wav)
                    if self._database.has_own_tables:
                        await connection.execute(_ADD_DETAILS, voice.voice_id, *_details(voice))
            return _found(await self._one_row(connection, voice.voice_id), voice.voice_id)

    async def set_transcript(self, voice_id: str, transcript: str, origin: TranscriptOrigin) -> VoiceRow:
        """A machine's never replaces a caller's: then the row stays as it is.

        Raises:
            errors.NotFound: there is no such voice.
            errors.Unavailable: nowhere to keep it.
        """
        await self._need_own_tables("a transcript")
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(_SET_TRANSCRIPT, voice_id, transcript, origin)
            return _found(await self._one_row(connection, voice_id), voice_id)

    async def set_codes(self, voice_id: str, codes: npt.NDArray[np.uint16], *, recording: bytes) -> VoiceRow:
        """Codes [frames, 7] of this recording.

        Raises:
            errors.NotFound: there is no such voice.
            errors.Conflict: it has another recording by now.
            errors.Unavailable: nowhere to keep them.
        """
        await self._need_own_tables("codes")
        digest = hashlib.sha256(recording).digest()
        async with self._database.connection() as connection, connection.transaction():
            done = await connection.fetchval(_SET_CODES, voice_id, _stored(codes), digest)
            row = _found(await self._one_row(connection, voice_id), voice_id)
        if not done:
            raise Conflict(f"voice_id: {voice_id!r}: has another recording by now: encode that one")
        return row

    async def delete(self, voice_id: str) -> bool:
        """Whether there was one."""
        async with self._database.connection() as connection:
            return await connection.fetchval(_DELETE, voice_id) is not None

    async def aliases(self) -> dict[str, str]:
        """Alias to preset or voice id; empty without our tables."""
        async with self._database.connection() as connection:
            if not self._database.has_own_tables:
                return {}
            return {record["alias"]: record["target"] for record in await connection.fetch(_ALIASES)}

    async def key_hashes(self) -> tuple[str, ...]:
        """Hashes of the access keys that hold; empty without our tables."""
        async with self._database.connection() as connection:
            if not self._database.has_own_tables:
                return ()
            return tuple(record["key_hash"] for record in await connection.fetch(_KEY_HASHES))

    async def state(self) -> StoreState:
        """Never raises."""
        try:
            async with self._database.connection() as connection:
                voices = await connection.fetchval(_COUNT) if await _has_table(connection) else 0
        except BridgeError:
            return StoreState(connected=False, has_own_tables=bool(self._database.has_own_tables))
        return StoreState(connected=True, has_own_tables=bool(self._database.has_own_tables), voices=voices)

    async def close(self) -> None:
        """Gives every connection back, within a bound."""
        await self._database.close()

    async def _fetch_rows(self, connection: Connection, voice_id: str | None) -> list[asyncpg.Record]:
        if self._database.has_own_tables:
            return await connection.fetch(_ROWS, voice_id)
        return await connection.fetch(_BARE_ROWS, voice_id) if await _has_table(connection) else []

    async def _one_row(self, connection: Connection, voice_id: str) -> VoiceRow | None:
        records = await self._fetch_rows(connection, voice_id)
        return _row(records[0]) if records else None

    async def _need_own_tables(self, what: str) -> None:
        """Connects, if that was not done yet: only then is it known."""
        async with self._database.connection():
            pass
        if not self._database.has_own_tables:
            raise Unavailable(f"{what} cannot be kept: the database role may not create this service's own tables")


@contextlib.contextmanager
def _told_by_field(voice: NewVoice) -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError:
        raise Conflict(f"voice_id: {voice.voice_id!r}: exists already: choose another", param="voice_id") from None
    except asyncpg.StringDataRightTruncationError as error:
        raise BadRequest(f"voice_id, name: too long for the voice table ({error}): shorten them") from None


async def _has_table(connection: Connection) -> bool:
    return await connection.fetchval("SELECT to_regclass('tts_voices')") is not None


def _found(row: VoiceRow | None, voice_id: str) -> VoiceRow:
    if row is None:
        raise NotFound(f"voice_id: {voice_id!r}: no such voice", param="voice_id")
    return row


def _row(record: asyncpg.Record) -> VoiceRow:
    return VoiceRow(**record)


def _details(voice: NewVoice) -> tuple[Any, ...]:
    digest = hashlib.sha256(voice.wav).digest()
    return digest, voice.language, voice.transcript, voice.transcript_origin, _stored(voice.codes)


def _stored(codes: npt.NDArray[np.uint16] | None) -> bytes | None:
    return None if codes is None else codes.astype(CODES_DTYPE).tobytes()


# A row version's `xmin` changes with every change of the row, whoever makes it, and costs nothing to read; the hash
# would have every recording read for every list. CASE, because only that forbids the planner to look at the hash first.
_CURRENT = """
    CASE WHEN d.recording_xmin = v.xmin::text THEN true ELSE d.recording_sha256 = sha256(v.audio_data) END
"""
_REVISION = "v.xmin::text || '.' || coalesce(d.xmin::text, '')"
_ROWS = f"""
    SELECT v.voice_id, coalesce(v.name, v.voice_id) AS name, v.created_at, {_REVISION} AS revision,
           d.transcript, d.transcript_origin, coalesce(d.language, 'en') AS language, d.codes IS NOT NULL AS has_codes
    FROM tts_voices v LEFT JOIN orpheus_voices d ON d.voice_id = v.voice_id AND {_CURRENT}
    WHERE $1::text IS NULL OR v.voice_id = $1
    ORDER BY 2, 1
"""  # noqa: S608  (constants)
_BARE_ROWS = """
    SELECT voice_id, coalesce(name, voice_id) AS name, created_at, xmin::text AS revision
    FROM tts_voices WHERE $1::text IS NULL OR voice_id = $1
    ORDER BY 2, 1
"""
_REFERENCE = f"""
    SELECT d.transcript, d.codes, {_REVISION} AS revision
    FROM tts_voices v JOIN orpheus_voices d ON d.voice_id = v.voice_id AND {_CURRENT}
    WHERE v.voice_id = $1 AND d.transcript IS NOT NULL AND d.codes IS NOT NULL
"""  # noqa: S608  (constants)
_RECORDING = "SELECT audio_data FROM tts_voices WHERE voice_id = $1"
_ADD = "INSERT INTO tts_voices (voice_id, name, audio_data) VALUES ($1, $2, $3)"
_ADD_DETAILS = """
    INSERT INTO orpheus_voices
        (voice_id, recording_xmin, recording_sha256, language, transcript, transcript_origin, codes)
    SELECT v.voice_id, v.xmin::text, $2, $3, $4, $5, $6 FROM tts_voices v WHERE v.voice_id = $1
"""
_SET_TRANSCRIPT = """
    INSERT INTO orpheus_voices AS d (voice_id, recording_xmin, recording_sha256, transcript, transcript_origin)
    SELECT v.voice_id, v.xmin::text, sha256(v.audio_data), $2, $3 FROM tts_voices v WHERE v.voice_id = $1
    ON CONFLICT (voice_id) DO UPDATE SET
        recording_xmin = excluded.recording_xmin,
        recording_sha256 = excluded.recording_sha256,
        transcript = excluded.transcript,
        transcript_origin = excluded.transcript_origin,
        codes = CASE WHEN d.recording_sha256 = excluded.recording_sha256 THEN d.codes END,
        updated_at = CURRENT_TIMESTAMP
    WHERE excluded.transcript_origin = 'caller'
       OR d.transcript_origin IS DISTINCT FROM 'caller'
       OR d.recording_sha256 <> excluded.recording_sha256
"""
_SET_CODES = """
    INSERT INTO orpheus_voices AS d (voice_id, recording_xmin, recording_sha256, codes)
    SELECT v.voice_id, v.xmin::text, $3, $2 FROM tts_voices v
    WHERE v.voice_id = $1 AND sha256(v.audio_data) = $3
    ON CONFLICT (voice_id) DO UPDATE SET
        recording_xmin = excluded.recording_xmin,
        recording_sha256 = excluded.recording_sha256,
        transcript = CASE WHEN d.recording_sha256 = excluded.recording_sha256 THEN d.transcript END,
        transcript_origin = CASE WHEN d.recording_sha256 = excluded.recording_sha256 THEN d.transcript_origin END,
        codes = excluded.codes,
        updated_at = CURRENT_TIMESTAMP
    RETURNING true
"""
# After a dump was restored every row has another version and the same hash.
_NOTE_ROW_VERSIONS = """
    UPDATE orpheus_voices d SET recording_xmin = v.xmin::text
    FROM tts_voices v
    WHERE v.voice_id = d.voice_id AND d.recording_xmin <> v.xmin::text AND d.recording_sha256 = sha256(v.audio_data)
"""
_DELETE = "DELETE FROM tts_voices WHERE voice_id = $1 RETURNING true"
_COUNT = "SELECT count(*) FROM tts_voices"
_ALIASES = "SELECT alias, target FROM orpheus_voice_aliases"
_KEY_HASHES = "SELECT key_hash FROM orpheus_api_keys WHERE revoked_at IS NULL"
