"""A LiveKit server for one machine, as a context: on loopback only, with a key of its own, ended without a trace."""

import http.client
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from launcher import server_log
from launcher.errors import LaunchError
from launcher.paths import Home
from launcher.ports import LOOPBACK
from launcher.runs import Run
from launcher.supervised import Supervised
from launcher.supervisor import Order

PROGRAM = "livekit-server"
OVERRIDE = "LIVEKIT_SERVER"
"""Environment variable that names the program; without it, it is looked for on PATH."""

GRACE_S = 2.0
"""A server that is told to end waits for its rooms to empty; nobody's rooms are here."""

POLL_INTERVAL_S = 0.05
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


class LiveKitServer:
    """One LiveKit server on loopback.

    `with LiveKitServer(options) as server:` starts it, waits until it answers and ends it at last; whatever becomes of
    this process, nothing is left of it.
    """

    def __init__(self, options: LiveKitServerOptions) -> None:
        self._options = options
        self._process = Supervised(options.home)
        self.log_path = options.home.logs / f"livekit-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.log"

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

    def __enter__(self) -> "LiveKitServer":
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
        self._options.ports.check_free()
        self._options.home.make()
        server_log.remove_old(self._options.home, kind="livekit")
        self._process.start(self._order)

    def wait_ready(self) -> None:
        """Waits until it answers.

        Raises:
            LaunchError: it ended, or did not answer within `ready_timeout_s`.
        """
        deadline = time.monotonic() + self._options.ready_timeout_s
        while not self._answers():
            if (code := self.exit_code()) is not None:
                raise LaunchError(self._obituary(f"LiveKit ended with status {code} before it was ready"))
            if time.monotonic() > deadline:
                raise LaunchError(self._obituary(f"LiveKit was not ready within {self._options.ready_timeout_s:.0f} s"))
            time.sleep(POLL_INTERVAL_S)

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.exit_code()

    def stop(self, *, grace: bool = True) -> None:
        """Ends it; returns when nothing is left. Without `grace` it is killed at once."""
        self._process.stop(grace=grace)

    def leftovers(self) -> list[str]:
        """What is there of it: nothing, once it was stopped."""
        return self._process.leftovers()

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

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self._options.ports.http, timeout=2.0)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _obituary(self, sentence: str) -> str:
        return "\n  ".join([f"{sentence}. Last lines of {self.log_path}:", *server_log.tail(self.log_path)])
