"""Which bridge owns a room, where all bridges join under one identity."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import asyncpg

from orpheus_bridge.errors import BridgeError, Conflict, Unavailable

LEASE_S = 15.0
"""A bridge that died is succeeded after this."""

RENEW_INTERVAL_S = 5.0
COMMAND_TIMEOUT_S = 1.0

_CLAIM = """
INSERT INTO orpheus_room_leases AS held (room, owner, expires_at)
SELECT room, $2, now() + make_interval(secs => $3) FROM unnest($1::text[]) AS wanted(room)
ON CONFLICT (room) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at
WHERE held.owner = excluded.owner OR held.expires_at < now()
RETURNING room
"""
_RELEASE = "DELETE FROM orpheus_room_leases WHERE room = $1 AND owner = $2"


class Lease(Protocol):
    """Ownership of rooms."""

    @property
    def assumes_one_bridge(self) -> bool:
        """Nobody is asked who owns a room."""
        ...

    async def acquire(self, room: str) -> None:
        """Owns the room from now on; nothing happens if it does already.

        Raises:
            errors.Conflict: another bridge owns it.
            errors.Unavailable: it cannot be found out just now.
        """
        ...

    async def renew(self) -> frozenset[str]:
        """Keeps what is owned; returns the rooms that were lost to another bridge. Never raises."""
        ...

    async def release(self, room: str) -> None:
        """Gives a room up. Never raises."""
        ...


class Connections(Protocol):
    """Whoever has connections to PostgreSQL: a pool, or something in front of one."""

    def acquire(
        self, *, timeout: float | None = None
    ) -> AbstractAsyncContextManager["asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"]:
        """A connection for as long as this is open."""
        ...


class EveryRoom:
    """One bridge is all there is, or each has an identity of its own."""

    @property
    def assumes_one_bridge(self) -> bool:
        return True

    async def acquire(self, room: str) -> None:
        """Always granted."""

    async def renew(self) -> frozenset[str]:
        return frozenset()

    async def release(self, room: str) -> None:
        """Nothing to give up."""


class PostgresLease:
    """Leases in the table `orpheus_room_leases`.

    While the database is away no bridge can take a room, so what is held stays held. Where the table is known not to be
    there, every room is granted: this must be the only bridge.

    Args:
        has_table: asked with a connection open, and at any other time; None: not known before the first one.
    """

    def __init__(
        self,
        pool: Connections,
        *,
        owner: str,
        lease_s: float = LEASE_S,
        has_table: Callable[[], bool | None] = lambda: True,
    ) -> None:
        self._pool = pool
        self._has_table = has_table
        self._owner = owner
        self._lease_s = lease_s
        self._held: set[str] = set()
        self._changing = asyncio.Lock()
        """A room that is given up must not be renewed at the same time."""

    @property
    def assumes_one_bridge(self) -> bool:
        return self._has_table() is False

    async def acquire(self, room: str) -> None:
        if room in self._held:
            return
        if room not in await self._claim([room]):
            raise Conflict("another bridge speaks in this room")
        self._held.add(room)

    async def renew(self) -> frozenset[str]:
        async with self._changing:
            held = set(self._held)
            try:
                lost = held - await self._claim(held) if held else set()
            except BridgeError:
                return frozenset()
            self._held -= lost
            return frozenset(lost)

    async def release(self, room: str) -> None:
        async with self._changing:
            if room not in self._held:
                return
            self._held.discard(room)
            if self.assumes_one_bridge:
                return
            with contextlib.suppress(BridgeError):
                async with self._connection() as connection:
                    await connection.execute(_RELEASE, room, self._owner, timeout=COMMAND_TIMEOUT_S)

    async def _claim(self, rooms: Iterable[str]) -> set[str]:
        # In one order everywhere: two bridges that claim the same rooms must not wait for each other.
        wanted = sorted(rooms)
        if self.assumes_one_bridge:
            return set(wanted)
        async with self._connection() as connection:
            if self.assumes_one_bridge:
                return set(wanted)
            rows = await connection.fetch(_CLAIM, wanted, self._owner, self._lease_s, timeout=COMMAND_TIMEOUT_S)
        return {row["room"] for row in rows}

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"]:
        try:
            async with self._pool.acquire(timeout=COMMAND_TIMEOUT_S) as connection:
                yield connection
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            raise Unavailable("the database that says who owns a room does not answer") from None
