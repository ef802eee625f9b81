"""The bridge beside Triton, as a context: its own process, its settings from the environment, ended without a trace."""

import http.client
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from launcher import server_log
from launcher.arguments import DEFAULT_BRIDGE_PORT
from launcher.errors import LaunchError
from launcher.paths import DEV_ENVIRONMENT, Home
from launcher.ports import LOOPBACK
from launcher.runs import Run
from launcher.supervised import Supervised
from launcher.supervisor import Order

PROGRAM = DEV_ENVIRONMENT / "bin" / "orpheus-bridge"
GRACE_S = 30.0
"""The bridge's own time to let running speech end, and a little more."""

POLL_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeOptions:
    """What it is told; everything else comes from the inherited environment."""

    home: Home
    triton_url: str
    triton_metrics_url: str
    host: str = LOOPBACK
    port: int = DEFAULT_BRIDGE_PORT
    variables: Mapping[str, str] = field(default_factory=dict)
    """Such as those of a LiveKit server that was started beside it."""
    program: Path = PROGRAM
    ready_timeout_s: float = 60.0


class BridgeServer:
    """`with BridgeServer(options) as bridge:` starts it, waits until it answers and ends it at last."""

    def __init__(self, options: BridgeOptions) -> None:
        self._options = options
        self._process = Supervised(options.home)
        self.log_path = options.home.logs / f"bridge-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.log"

    @property
    def url(self) -> str:
        """For clients on this machine."""
        return f"http://{self._reachable_host}:{self._options.port}"

    def __enter__(self) -> "BridgeServer":
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
            LaunchError: the data home cannot be written.
        """
        self._options.home.make()
        server_log.remove_old(self._options.home, kind="bridge")
        self._process.start(self._order)

    def wait_ready(self) -> None:
        """Waits until it answers.

        Raises:
            LaunchError: it ended, or did not answer within `ready_timeout_s`.
        """
        deadline_s = time.monotonic() + self._options.ready_timeout_s
        while not self._answers():
            if (code := self.exit_code()) is not None:
                raise LaunchError(self._obituary(f"The bridge ended with status {code} before it was ready"))
            if time.monotonic() > deadline_s:
                limit_s = self._options.ready_timeout_s
                raise LaunchError(self._obituary(f"The bridge was not ready within {limit_s:.0f} s"))
            time.sleep(POLL_INTERVAL_S)

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.exit_code()

    def death_notice(self) -> str:
        """What to tell when it ended by itself."""
        return self._obituary(f"The bridge ended with status {self.exit_code()}")

    def stop(self, *, grace: bool = True) -> None:
        """Ends it; returns when nothing is left. Without `grace` it is killed at once."""
        self._process.stop(grace=grace)

    def leftovers(self) -> list[str]:
        """What is there of it: nothing, once it was stopped."""
        return self._process.leftovers()

    def _order(self, _run: Run) -> Order:
        options = self._options
        own = {
            "ORPHEUS_HOST": options.host,
            "ORPHEUS_PORT": str(options.port),
            "ORPHEUS_URL": options.triton_url,
            "ORPHEUS_TRITON_METRICS_URL": options.triton_metrics_url,
            "ORPHEUS_HOME": str(options.home.root),
        }
        return Order(
            command=[str(options.program)],
            environment={**os.environ, **options.variables, **own},
            log_path=str(self.log_path),
            grace_s=GRACE_S,
        )

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self._reachable_host, self._options.port, timeout=2.0)
        try:
            connection.request("GET", "/health/live")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _obituary(self, sentence: str) -> str:
        return "\n  ".join([f"{sentence}. Last lines of {self.log_path}:", *server_log.tail(self.log_path)])

    @property
    def _reachable_host(self) -> str:
        return LOOPBACK if self._options.host == "0.0.0.0" else self._options.host  # noqa: S104  (compared, not bound)
