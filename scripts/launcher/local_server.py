"""A server on this machine as a context: started, waited for, ended without a trace."""

import http.client
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

from launcher import server_log
from launcher.errors import LaunchError
from launcher.paths import Home
from launcher.ports import LOOPBACK
from launcher.runs import Run
from launcher.supervised import Supervised
from launcher.supervisor import Order

POLL_INTERVAL_S = 0.1
ANSWER_TIMEOUT_S = 2.0

Progress = Callable[[float, str], None]
"""Called while waiting: seconds so far, the log's last line."""


class LocalServer(ABC):
    """`with SomeServer(options) as server:` starts it, waits until it is ready and ends it at last.

    Whatever becomes of this process, the supervisor beside the server sees to it that no process and no shared-memory
    file is left.

    Args:
        name: for people.
        kind: first part of the log's name.
        ready_path: answers 200 over HTTP on `ready_port` once it is ready.
    """

    def __init__(
        self, home: Home, *, name: str, kind: str, host: str, ready_port: int, ready_path: str, ready_timeout_s: float
    ) -> None:
        self._home = home
        self._name = name
        self._kind = kind
        self._host = host
        self._ready_port = ready_port
        self._ready_path = ready_path
        self._ready_timeout_s = ready_timeout_s
        self._process = Supervised(home)
        self.log_path = home.logs / f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.log"

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop(grace=False)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it without waiting for it.

        Raises:
            LaunchError: a port is busy or the data home cannot be written.
        """
        self.check_ports()
        self._home.make()
        server_log.remove_old(self._home, kind=self._kind)
        self._process.start(self._order)

    def wait_ready(self, progress: Progress | None = None) -> float:
        """Waits until it is ready; returns the seconds it took.

        Raises:
            LaunchError: it ended, or was not ready in time.
        """
        started_s = time.monotonic()
        while not self._is_ready():
            elapsed_s = time.monotonic() - started_s
            if (code := self.exit_code()) is not None:
                raise LaunchError(self._obituary(f"{self._name} ended with status {code} before it was ready"))
            if elapsed_s > self._ready_timeout_s:
                raise LaunchError(self._obituary(f"{self._name} was not ready within {elapsed_s:.0f} s"))
            if progress:
                progress(elapsed_s, "".join(server_log.tail(self.log_path, 1)))
            time.sleep(POLL_INTERVAL_S)
        return time.monotonic() - started_s

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.exit_code()

    def death_notice(self) -> str:
        """What to tell when it ended by itself."""
        return self._obituary(f"{self._name} ended with status {self.exit_code()}")

    def stop(self, *, grace: bool = True) -> None:
        """Ends it and everything it started; returns when nothing is left. Without `grace` it is killed at once."""
        self._process.stop(grace=grace)

    def leftovers(self) -> list[str]:
        """What is there of it: processes, shared-memory files, its folder. Nothing, once it was stopped."""
        return self._process.leftovers()

    @abstractmethod
    def check_ports(self) -> None:
        """
        Raises:
            LaunchError: something listens where it is to listen.
        """

    @abstractmethod
    def _order(self, run: Run) -> Order:
        """What the supervisor is to run."""

    @property
    def _reachable_host(self) -> str:
        return LOOPBACK if self._host == "0.0.0.0" else self._host  # noqa: S104  (compared, not bound)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(self._reachable_host, self._ready_port, timeout=ANSWER_TIMEOUT_S)
        try:
            connection.request("GET", self._ready_path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _obituary(self, sentence: str) -> str:
        return "\n  ".join([f"{sentence}. Last lines of {self.log_path}:", *server_log.tail(self.log_path)])
