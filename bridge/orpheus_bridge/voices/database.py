"""A pool of connections in which every wait has a bound and every failure is one of the bridge's errors."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import asyncpg

from orpheus_bridge.errors import BridgeError, Failed, Unavailable
from orpheus_bridge.telemetry.log import logger
from orpheus_bridge.voices.migrate import Connection, migrate, migrations
from orpheus_bridge.voices.options import DatabaseOptions

CLOSE_S = 5.0
AWAY = "the database does not answer"

_AWAY = (
    OSError,  # TimeoutError too
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What asyncpg raises on a connection that the server has ended, until the end itself has arrived; and on one whose
    # tables were altered behind it. A new connection mends both.
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
"""What says that the database is not there for us just now."""


class Database:
    """One server, connected to when it is first needed and again when it was away.

    It belongs to the event loop in which it is first used; `close` it there.

    Args:
        when_opened: a statement on the bridge's own tables that is run after each opening, if they are there.
    """

    def __init__(self, options: DatabaseOptions, *, when_opened: str) -> None:
        self._options = options
        self._when_opened = when_opened
        self._migrations = migrations()
        self._opening = asyncio.Lock()
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._retry_at_s = 0.0
        self.has_own_tables: bool | None = None
        """Whether the bridge's own tables are there; None before the first connection."""

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for a few statements; it is given back on every way out.

        Raises:
            errors.Unavailable: the database is away, or no connection was free in time.
            errors.Failed: it refused a statement.
        """
        with _one_tree():
            pool = await self._opened()
            connection = await self._acquired(pool)
            try:
                yield connection
            finally:
                await pool.release(connection, timeout=self._options.command_s)

    async def close(self) -> None:
        """Waits a little for what runs, then ends it."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), CLOSE_S)
        except (asyncpg.PostgresError, *_AWAY):
            pool.terminate()

    async def _acquired(self, pool: "asyncpg.Pool[asyncpg.Record]") -> Connection:
        try:
            connection = await pool.acquire(timeout=self._options.acquire_s)
        except TimeoutError:
            raise Unavailable("every connection to the database is taken") from None
        # A cancellation that meets the very end of the wait is swallowed below us; it must not be.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            await pool.release(connection, timeout=self._options.command_s)
            raise asyncio.CancelledError
        return connection

    async def _opened(self) -> "asyncpg.Pool[asyncpg.Record]":
        if self._pool is not None:
            return self._pool
        # Whoever comes while another one tries waits for that attempt and no longer than for a connection.
        try:
            async with asyncio.timeout(self._options.acquire_s):
                await self._opening.acquire()
        except TimeoutError:
            raise Unavailable(AWAY) from None
        try:
            return self._pool or await self._open()
        finally:
            self._opening.release()

    async def _open(self) -> "asyncpg.Pool[asyncpg.Record]":
        now_s = asyncio.get_running_loop().time()
        if now_s < self._retry_at_s:
            raise Unavailable(AWAY)
        pool = self._new_pool()
        try:
            self.has_own_tables = await self._prepare(pool)
            self._pool = pool
        except Exception as error:
            self._retry_at_s = asyncio.get_running_loop().time() + self._options.retry_s
            logger().warning("database_not_opened", error=type(error).__name__)
            raise
        finally:
            if self._pool is not pool:
                pool.terminate()
        logger().info("database_opened", own_tables=self.has_own_tables)
        return pool

    async def _prepare(self, pool: "asyncpg.Pool[asyncpg.Record]") -> bool:
        await pool
        async with pool.acquire(timeout=self._options.connect_s) as connection:
            own_tables = await migrate(connection, self._migrations, timeout_s=self._options.migrate_s)
            if own_tables:
                with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(self._when_opened, timeout=self._options.migrate_s)
            return own_tables

    def _new_pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        given = self._options
        return asyncpg.create_pool(
            host=given.host,
            port=given.port,
            database=given.name,
            user=given.user,
            password=given.password,
            min_size=0,
            max_size=given.pool_max,
            timeout=given.connect_s,
            command_timeout=given.command_s,
            statement_cache_size=given.statement_cache_size,
            server_settings={"application_name": "orpheus-bridge"},
        )


@contextlib.contextmanager
def _one_tree() -> Iterator[None]:
    try:
        yield
    except BridgeError:
        raise
    except asyncpg.InsufficientPrivilegeError as error:
        logger().warning("database_permission_missing", sqlstate=error.sqlstate)
        raise Unavailable("the database does not let this service do that") from None
    except _AWAY as error:
        logger().warning("database_away", error=type(error).__name__)
        raise Unavailable(AWAY) from None
    except asyncpg.UndefinedTableError:
        raise Unavailable("the database has no table of voices") from None
    except asyncpg.PostgresError as error:
        logger().error("database_refused", error=type(error).__name__, sqlstate=error.sqlstate)
        raise Failed("the database refused it") from None
