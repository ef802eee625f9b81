"""The bridge beside Triton, as a context: its own process, its settings from the environment, ended without a trace."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.arguments import DEFAULT_BRIDGE_PORT
from launcher.local_server import LocalServer
from launcher.paths import DEV_ENVIRONMENT, Home
from launcher.ports import LOOPBACK, check_port_free
from launcher.runs import Run
from launcher.supervisor import Order

PROGRAM = DEV_ENVIRONMENT / "bin" / "orpheus-bridge"
GRACE_S = 30.0
"""The bridge's own time to let running speech end, and a little more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeOptions:
    """What it is told; everything else comes from the inherited environment."""

    home: Home
    triton_url: str
    triton_metrics_url: str
    host: str = LOOPBACK
    port: int = DEFAULT_BRIDGE_PORT
    model_load_s: float | None = None
    """What Triton took from its start to ready, for the bridge's figures."""
    warmup_s: float | None = None
    """What its first sentence took."""
    max_streams: int | None = None
    """Speeches at once, unless the environment says (`ORPHEUS_MAX_STREAMS`)."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Such as those of a LiveKit server that was started beside it."""
    program: Path = PROGRAM
    ready_timeout_s: float = 60.0


class BridgeServer(LocalServer):
    """One bridge process."""

    def __init__(self, options: BridgeOptions) -> None:
        super().__init__(
            options.home, name="The bridge", kind="bridge", host=options.host, ready_port=options.port,
            ready_path="/health/live", ready_timeout_s=options.ready_timeout_s,
        )  # fmt: skip
        self._options = options

    @property
    def url(self) -> str:
        """For clients on this machine."""
        return f"http://{self._reachable_host}:{self._options.port}"

    def check_ports(self) -> None:
        """
        Raises:
            LaunchError: the port is busy.
        """
        check_port_free(self._options.host, self._options.port, name="bridge")

    def _order(self, _run: Run) -> Order:
        options = self._options
        own = {
            "ORPHEUS_HOST": options.host,
            "ORPHEUS_PORT": str(options.port),
            "ORPHEUS_URL": options.triton_url,
            "ORPHEUS_TRITON_METRICS_URL": options.triton_metrics_url,
            "ORPHEUS_HOME": str(options.home.root),
            "ORPHEUS_MODEL_LOAD_S": _seconds(options.model_load_s),
            "ORPHEUS_WARMUP_S": _seconds(options.warmup_s),
        }
        usual = {} if options.max_streams is None else {"ORPHEUS_MAX_STREAMS": str(options.max_streams)}
        return Order(
            command=[str(options.program)],
            environment={**usual, **os.environ, **options.variables, **own},
            log_path=str(self.log_path),
            grace_s=GRACE_S,
        )


def _seconds(value: float | None) -> str:
    """Empty means not set."""
    return "" if value is None else f"{value:.3f}"
