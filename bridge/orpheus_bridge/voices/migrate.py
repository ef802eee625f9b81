"""Brings the tables up to date: forward-only numbered SQL files, each run once, whoever starts at the same time."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg
import asyncpg.pool

from orpheus_bridge.errors import Failed

FOLDER = Path(__file__).resolve().parents[1] / "migrations"
LEDGER = "orpheus_migrations"
LOCK_KEY = 0x6F727068657573
"""Of the advisory lock: `orpheus` in ASCII."""

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """Every migration, in order.

    Raises:
        errors.Failed: a file is misnamed, or the numbers are not 1, 2, 3 ….
    """
    found = [_migration(path) for path in sorted(folder.glob("*.sql"))]
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise Failed(f"migration {migration.version:04} {migration.name}: number {expected:04} was expected")
    return tuple(found)


async def migrate(connection: Connection, wanted: tuple[Migration, ...], *, timeout_s: float) -> bool:
    """Applies what is missing; true if the tables are there, false if this role may not make them.

    All in one transaction, under a lock that ends with it: that works through PgBouncer too. What a newer bridge has
    applied beyond `wanted` is left alone.

    Raises:
        errors.Failed: a file that was applied has been changed since.
    """
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK_KEY})", timeout=timeout_s)
            missing = _missing(wanted, await _applied(connection))
            if missing:
                await connection.execute(_LEDGER_SQL)
            for migration in missing:
                await connection.execute(migration.sql, timeout=timeout_s)
                await connection.execute(_RECORD_SQL, migration.version, migration.name, migration.checksum)
    except asyncpg.InsufficientPrivilegeError:
        return False
    return True


async def _applied(connection: Connection) -> dict[int, str]:
    if await connection.fetchval("SELECT to_regclass($1)", LEDGER) is None:
        return {}
    rows = await connection.fetch(f"SELECT version, checksum FROM {LEDGER}")  # noqa: S608  (a constant)
    return {row["version"]: row["checksum"] for row in rows}


def _missing(wanted: tuple[Migration, ...], applied: dict[int, str]) -> list[Migration]:
    for migration in wanted:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise Failed(
                f"migration {migration.version:04} {migration.name}: was changed after it was applied: "
                "put the file back, and write the change as a new one"
            )
    return [migration for migration in wanted if migration.version not in applied]


def _migration(path: Path) -> Migration:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise Failed(f"migration {path.name}: name it like 0001_what_it_does.sql")
    return Migration(version=int(match[1]), name=match[2], sql=path.read_text("utf-8"))


_LEDGER_SQL = f"""
CREATE TABLE IF NOT EXISTS {LEDGER} (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""
_RECORD_SQL = f"INSERT INTO {LEDGER} (version, name, checksum) VALUES ($1, $2, $3)"  # noqa: S608  (a constant)
