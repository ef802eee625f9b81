"""Stands between the launcher and Triton, so that nothing outlives either of them.

Run as `python -m launcher.supervisor` in the run's own folder; its standard input carries one line of JSON (`Order`)
and then stays open. The server is stopped when that pipe closes (the launcher died), on SIGTERM, or on SIGINT, which
grants it no time to finish. When the server has ended, for whatever reason, every process of the run is killed, its
shared memory removed, its folder deleted. The exit status is the server's.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from launcher.processes import (
    adopt_orphans,
    end_with_parent,
    kill,
    remove_shared_memory,
    shared_memory_of,
    working_in,
)

TRACKING_INTERVAL_S = 5.0
"""How often the run's shared memory is noted for the case that this process is killed too."""

KILL_TIMEOUT_S = 5.0
LEDGER = "shared_memory.json"
"""File in the run's folder: the shared memory to remove."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run, and how."""

    command: list[str]
    environment: dict[str, str]
    log_path: str
    shared_memory_prefix: str
    """Triton's python backend names its files with it."""
    grace_s: float
    """Time from SIGTERM to SIGKILL."""

    def to_line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self)) + "\n"


class Supervisor:
    """One server's life."""

    def __init__(self, order: Order, run_folder: Path) -> None:
        self._order = order
        self._run_folder = run_folder
        self._shared_memory: set[Path] = set()
        self._stop_signal: int | None = None
        self._wakeup_read_fd, self._wakeup_write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> int:
        """Until the server has ended and nothing of it is left; returns its exit status, 128 + n for signal n."""
        adopt_orphans()
        signal.set_wakeup_fd(self._wakeup_write_fd, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        server = self._start()
        try:
            self._watch(server)
            self._stop(server)
        finally:
            self._sweep(server)
        return server.returncode if server.returncode >= 0 else 128 - server.returncode

    def _start(self) -> "subprocess.Popen[bytes]":
        with Path(self._order.log_path).open("ab") as log:
            return subprocess.Popen(
                self._order.command,
                env=self._order.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=end_with_parent,  # noqa: PLW1509  (this process has one thread)
            )

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._stop_signal = number

    def _watch(self, server: "subprocess.Popen[bytes]") -> None:
        """Until the server ends or is to be stopped."""
        while server.poll() is None and self._stop_signal is None:
            self._track()
            readable = self._wait([sys.stdin.fileno(), self._wakeup_read_fd], TRACKING_INTERVAL_S)
            if sys.stdin.fileno() in readable:
                return

    def _stop(self, server: "subprocess.Popen[bytes]") -> None:
        """SIGTERM and time to finish, unless SIGINT came."""
        self._track()
        if server.poll() is None:
            server.terminate()
        deadline = time.monotonic() + self._order.grace_s
        while server.poll() is None and self._stop_signal != signal.SIGINT:
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                return
            self._wait([self._wakeup_read_fd], remaining_s)

    def _sweep(self, server: "subprocess.Popen[bytes]") -> None:
        """Kills whatever still runs, removes what it left."""
        self._track()
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while (rest := working_in(self._run_folder) - {os.getpid()}) and time.monotonic() < deadline:
            kill(rest)
            time.sleep(0.02)
            server.poll()
            _reap_orphans(server.pid)
        server.wait(KILL_TIMEOUT_S)
        remove_shared_memory(prefix=self._order.shared_memory_prefix, seen=self._shared_memory)
        shutil.rmtree(self._run_folder, ignore_errors=True)

    def _track(self) -> None:
        found = shared_memory_of(working_in(self._run_folder))
        if found <= self._shared_memory:
            return
        self._shared_memory |= found
        ledger = self._run_folder / LEDGER
        draft = ledger.with_suffix(".new")
        draft.write_text(json.dumps([str(path) for path in sorted(self._shared_memory)]), encoding="utf-8")
        draft.replace(ledger)

    def _wait(self, fds: list[int], timeout_s: float) -> list[int]:
        readable, _, _ = select.select(fds, [], [], timeout_s)
        if self._wakeup_read_fd in readable:
            os.read(self._wakeup_read_fd, 4096)
        return readable


def _reap_orphans(server_pid: int) -> None:
    """Collects adopted children; the server itself is left to its Popen object, which wants its status."""
    for pid in _children() - {server_pid}:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue


def _children() -> set[int]:
    me = os.getpid()
    return {int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text(encoding="ascii").split()}


def main() -> int:
    """Reads the order from standard input and carries it out in the current folder."""
    with open(0, "rb", buffering=0, closefd=False) as pipe:
        line = pipe.readline()
    if not line:
        return 0
    return Supervisor(Order(**json.loads(line)), Path.cwd()).run()


if __name__ == "__main__":
    sys.exit(main())
