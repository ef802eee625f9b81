"""Stands between the launcher and Triton, so that nothing outlives either of them.

Run as `python -m launcher.supervisor` in the run's own folder; its standard input carries one line of JSON (`Order`)
and then stays open. The server is stopped when that pipe closes (the launcher died), on SIGTERM, or on SIGINT, which
grants it no time to finish. When the server has ended, for whatever reason, every process of the run is killed, its
shared memory removed, its folder deleted. The exit status is the server's.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from launcher.processes import adopt_orphans, end_with_parent, shared_memory_of, working_in
from launcher.runs import KILL_TIMEOUT_S, Run

TRACKING_INTERVALS_S = (0.5, 10.0)
"""How often the run's shared memory is noted, for the case that this process is killed too: first and last interval,
since most of it is made at the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run, and how."""

    command: list[str]
    environment: dict[str, str]
    log_path: str
    grace_s: float
    """Time from SIGTERM to SIGKILL."""

    def to_line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self)) + "\n"


class Supervisor:
    """One server's life."""

    def __init__(self, order: Order, run: Run) -> None:
        self._order = order
        self._run = run
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
                preexec_fn=end_with_parent(),  # noqa: PLW1509  (this process has one thread)
            )

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._stop_signal = number

    def _watch(self, server: "subprocess.Popen[bytes]") -> None:
        """Until the server ends or is to be stopped."""
        interval_s, longest_s = TRACKING_INTERVALS_S
        while server.poll() is None and self._stop_signal is None:
            self._track()
            readable = self._wait([sys.stdin.fileno(), self._wakeup_read_fd], interval_s)
            interval_s = min(interval_s * 1.5, longest_s)
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
        """Kills whatever still runs, collects it, removes what it left."""
        self._track()
        self._run.end_processes(spare=(os.getpid(),))
        server.wait(KILL_TIMEOUT_S)
        _reap_orphans()
        self._run.wipe()

    def _track(self) -> None:
        found = shared_memory_of(working_in(self._run.folder))
        if not found <= self._shared_memory:
            self._shared_memory |= found
            self._run.note(self._shared_memory)

    def _wait(self, fds: list[int], timeout_s: float) -> list[int]:
        readable, _, _ = select.select(fds, [], [], timeout_s)
        if self._wakeup_read_fd in readable:
            os.read(self._wakeup_read_fd, 4096)
        return readable


def _reap_orphans() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def main() -> int:
    """Reads the order from standard input and carries it out in the current folder."""
    with open(0, "rb", buffering=0, closefd=False) as pipe:
        line = pipe.readline()
    if not line:
        return 0
    return Supervisor(Order(**json.loads(line)), Run(Path.cwd())).run()


if __name__ == "__main__":
    sys.exit(main())
