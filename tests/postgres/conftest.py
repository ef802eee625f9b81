"""One real PostgreSQL for all tests here, and a fresh database in it for each."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from orpheus_bridge.voices.embedded import PORT, SUPERUSER, EmbeddedPostgres
from orpheus_bridge.voices.options import DatabaseOptions, EmbeddedOptions
from orpheus_bridge.voices.postgres import PostgresStore

FIRST_SHAPE = """
CREATE TABLE tts_voices (
    voice_id VARCHAR(255) PRIMARY KEY, name VARCHAR(255) NOT NULL, audio_data BYTEA NOT NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_tts_voices_name ON tts_voices (name);
INSERT INTO tts_voices (voice_id, name, audio_data) VALUES ('default', 'June Default', '\\x52494646'),
    ('anna', 'Anna', '\\x0102'), ('ben', 'Ben', '\\x0304')
"""
SECOND_SHAPE = """
CREATE TABLE tts_voices (
    id SERIAL PRIMARY KEY, voice_id VARCHAR(100) UNIQUE NOT NULL, name VARCHAR(255), audio_data BYTEA NOT NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO tts_voices (voice_id, name, audio_data) VALUES ('default', 'June Default', '\\x52494646'),
    ('anna', NULL, '\\x0102'), ('ben', 'Ben', '\\x0304')
"""
SHAPES = {"first": FIRST_SHAPE, "second": SECOND_SHAPE}


@dataclass(frozen=True, slots=True)
class Place:
    """One database and its owner, with the superuser's way in."""

    options: DatabaseOptions

    async def execute(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """As the superuser, whom the older service stands for."""
        connection = await self.connect()
        try:
            if not arguments and ";" in sql:
                await connection.execute(sql)
                return []
            return await connection.fetch(sql, *arguments)
        finally:
            await connection.close()

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host=self.options.host, port=PORT, user=SUPERUSER, database=self.options.name, timeout=10
        )

    async def guest(self, grants: str) -> DatabaseOptions:
        """A role that may do what is granted and create nothing."""
        name = f"guest_{self.options.name}"
        await self.execute(f"CREATE ROLE {name} LOGIN; {grants.format(role=name)};")
        return replace(self.options, user=name)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    async with EmbeddedPostgres(EmbeddedOptions(folder=tmp_path_factory.mktemp("postgres") / "embedded")) as postgres:
        yield postgres


_numbers = itertools.count(1)


@pytest.fixture
async def place(server: EmbeddedPostgres) -> AsyncIterator[Place]:
    """An empty database."""
    name = f"voices_{next(_numbers)}"
    maintenance = Place(replace(server.database, name="postgres"))
    await maintenance.execute(f"CREATE ROLE {name} LOGIN")
    await maintenance.execute(f"CREATE DATABASE {name} OWNER {name}")
    yield Place(replace(server.database, name=name, user=name))
    await maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def store(place: Place) -> AsyncIterator[PostgresStore]:
    """A store on the empty database."""
    opened = PostgresStore(place.options)
    yield opened
    async with asyncio.timeout(20):
        await opened.close()


@pytest.fixture
def embedded_folder(tmp_path: Path) -> Path:
    return tmp_path / "embedded"
