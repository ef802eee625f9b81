"""A LiveKit server for one machine, as a context: on loopback only, with a key of its own, ended without a trace."""

import json
import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.errors import LaunchError
from launcher.local_server import LocalServer
from launcher.paths import Home
from launcher.ports import LOOPBACK
from launcher.runs import Run
from launcher.supervisor import Order

PROGRAM = "livekit-server"
OVERRIDE = "LIVEKIT_SERVER"
"""Environment variable that names the program; without it, it is looked for on PATH."""

GRACE_S = 2.0
"""A server that is told to end waits for its rooms to empty; nobody's rooms are here."""

KEY = "local"


def find_livekit(environ: Mapping[str, str]) -> Path | None:
    """The program, or None where there is none.

    Raises:
        LaunchError: `LIVEKIT_SERVER` names something that cannot be run.
    """
    given = environ.get(OVERRIDE)
    found = shutil.which(given or PROGRAM, path=environ.get("PATH"))
    if given and not found:
        raise LaunchError(f"{OVERRIDE}: {given}: no such program: give the path of livekit-server, or unset it")
    return Path(found).resolve() if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveKitPorts:
    """Where it listens: TCP for WebSocket and HTTP, UDP for media."""

    http: int = 7880
    udp: int = 7882

    @classmethod
    def free(cls) -> "LiveKitPorts":
        """Two that nothing listened on a moment ago."""
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            stream.bind((LOOPBACK, 0))
            datagrams.bind((LOOPBACK, 0))
            return cls(http=stream.getsockname()[1], udp=datagrams.getsockname()[1])

    @classmethod
    def usual_or_free(cls) -> "LiveKitPorts":
        """The usual ones, unless something listens on one of them."""
        usual = cls()
        try:
            usual.check_free()
        except LaunchError:
            return cls.free()
        return usual

    def check_free(self) -> None:
        """
        Raises:
            LaunchError: something listens on one of them.
        """
        for port, kind, use in (
            (self.http, socket.SOCK_STREAM, "signalling"),
            (self.udp, socket.SOCK_DGRAM, "media"),
        ):
            with socket.socket(type=kind) as probe:
                # As servers do: connections of an earlier one that are still being forgotten do not make a port busy.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == socket.SOCK_STREAM))
                try:
                    probe.bind((LOOPBACK, port))
                except OSError as error:
                    raise LaunchError(
                        f"port {port} (LiveKit, {use}) on {LOOPBACK} cannot be listened on ({error.strerror}): "
                        "end what listens there, or set LIVEKIT_URL to use a LiveKit that runs already"
                    ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveKitServerOptions:
    """What to start, where."""

    program: Path
    home: Home
    ports: LiveKitPorts = field(default_factory=LiveKitPorts)
    key: str = KEY
    secret: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)
    """Made anew for each server unless it is given."""
    ready_timeout_s: float = 60.0


class LiveKitServer(LocalServer):
    """One LiveKit server on loopback."""

    def __init__(self, options: LiveKitServerOptions) -> None:
        super().__init__(
            options.home, name="LiveKit", kind="livekit", host=LOOPBACK, ready_port=options.ports.http,
            ready_path="/", ready_timeout_s=options.ready_timeout_s,
        )  # fmt: skip
        self._options = options

    @property
    def url(self) -> str:
        """For clients on this machine."""
        return f"ws://{LOOPBACK}:{self._options.ports.http}"

    @property
    def variables(self) -> dict[str, str]:
        """What the bridge has to know, by its names in the environment."""
        return {
            "LIVEKIT_URL": self.url,
            "LIVEKIT_API_KEY": self._options.key,
            "LIVEKIT_API_SECRET": self._options.secret,
        }

    def check_ports(self) -> None:
        """
        Raises:
            LaunchError: one of them is busy.
        """
        self._options.ports.check_free()

    def _order(self, run: Run) -> Order:
        config = run.folder / "livekit.yaml"
        config.write_text(json.dumps(self._config()), encoding="utf-8")
        config.chmod(0o600)
        return Order(
            command=[str(self._options.program), "--config", config.name],
            environment=dict(os.environ),
            log_path=str(self.log_path),
            grace_s=GRACE_S,
        )

    def _config(self) -> dict[str, object]:
        """JSON is YAML too."""
        ports = self._options.ports
        return {
            "port": ports.http,
            "bind_addresses": [LOOPBACK],
            "keys": {self._options.key: self._options.secret},
            "rtc": {
                # Media over TCP would be listened for on every address.
                "tcp_port": 0,
                "udp_port": ports.udp,
                "node_ip": LOOPBACK,
                "use_external_ip": False,
                "enable_loopback_candidate": True,
                "interfaces": {"includes": ["lo"]},
            },
        }
