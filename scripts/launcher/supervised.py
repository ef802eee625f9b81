"""A server under supervision: started in a folder of its own, ended without a trace."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from launcher.paths import SCRIPTS, Home
from launcher.runs import KILL_TIMEOUT_S, Run, open_run
from launcher.supervisor import Order


class Supervised:
    """One server process with everything it starts.

    Whatever becomes of this process, the supervisor beside the server sees to it that no process and no shared-memory
    file is left.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._run: Run | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._grace_s = 0.0

    def start(self, order_for: Callable[[Run], Order]) -> None:
        """Starts what `order_for` makes of the new run's folder, without waiting for it.

        Raises:
            LaunchError: the data home cannot be written.
        """
        self._run, lock_fd = open_run(self._home)
        try:
            order = order_for(self._run)
            self._grace_s = order.grace_s
            self._supervisor = _start_supervisor(order, self._run.folder, lock_fd)
        except BaseException:
            self._run.end_processes()
            self._run.wipe()
            raise
        finally:
            os.close(lock_fd)

    def exit_code(self) -> int | None:
        """None while it runs, and before it was started."""
        return self._supervisor.poll() if self._supervisor else None

    def stop(self, *, grace: bool = True) -> None:
        """Ends the server and everything it started; returns when nothing is left. Without `grace` it is killed."""
        if self._supervisor is None:
            return
        supervisor = self._supervisor
        timeout_s = self._grace_s + 2 * KILL_TIMEOUT_S
        if supervisor.poll() is None:
            supervisor.send_signal(signal.SIGTERM if grace else signal.SIGINT)
        try:
            supervisor.wait(timeout_s)
        except subprocess.TimeoutExpired:
            supervisor.kill()
        except KeyboardInterrupt:
            supervisor.send_signal(signal.SIGINT)
            supervisor.wait(timeout_s)
        finally:
            if supervisor.stdin:
                supervisor.stdin.close()
            if self._run and self._run.folder.exists():
                # The supervisor itself was killed, or is to be.
                self._run.end_processes()
                self._run.wipe()

    def leftovers(self) -> list[str]:
        """What is there of this server: processes, shared-memory files, its folder. Nothing, once it was stopped."""
        return self._run.leftovers() if self._run else []


def _start_supervisor(order: Order, run_folder: Path, lock_fd: int) -> "subprocess.Popen[bytes]":
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "launcher.supervisor"],
        cwd=run_folder,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        stdin=subprocess.PIPE,
        pass_fds=(lock_fd,),
        start_new_session=True,
    )
    assert supervisor.stdin is not None  # noqa: S101  (opened as a pipe above)
    supervisor.stdin.write(order.to_line().encode())
    supervisor.stdin.flush()
    return supervisor
