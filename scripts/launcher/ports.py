"""The three ports of a Triton server."""

import contextlib
import errno
import socket
from dataclasses import dataclass

from launcher.errors import LaunchError

LOOPBACK = "127.0.0.1"
MAX_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where Triton listens."""

    grpc: int = 8001
    metrics: int = 8002
    http: int = 8003

    @classmethod
    def from_grpc(cls, grpc: int) -> "Ports":
        """Metrics and HTTP follow the gRPC port, as 8002 and 8003 follow 8001."""
        return cls(grpc=grpc, metrics=grpc + 1, http=grpc + 2)

    @classmethod
    def free(cls) -> "Ports":
        """Three ports that nothing listened on a moment ago."""
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
            for each in sockets:
                each.bind((LOOPBACK, 0))
            grpc, metrics, http = (each.getsockname()[1] for each in sockets)
        return cls(grpc=grpc, metrics=metrics, http=http)

    def check_apart(self, port: int, *, name: str) -> None:
        """
        Raises:
            LaunchError: `port`, of a server beside Triton, is one of the three.
        """
        if port in (self.grpc, self.metrics, self.http):
            raise LaunchError(f"port {port} ({name}) is Triton's already: give each its own with --port, --bridge-port")

    def check_free(self, host: str) -> None:
        """
        Raises:
            LaunchError: something listens on one of them, two are the same, or the address is not this machine's.
        """
        named = {"gRPC": self.grpc, "metrics": self.metrics, "HTTP": self.http}
        if len(set(named.values())) < len(named):
            shown = ", ".join(f"{name} {port}" for name, port in named.items())
            raise LaunchError(f"ports {shown}: two are the same: give each its own")
        for name, port in named.items():
            check_port_free(host, port, name=name)


def check_port_free(host: str, port: int, *, name: str) -> None:
    """
    Raises:
        LaunchError: something listens there, or the address is not this machine's.
    """
    if not 1 <= port <= MAX_PORT:
        raise LaunchError(f"port {port} ({name}): give one from 1 to {MAX_PORT}")
    with socket.socket() as probe:
        # As servers do: connections of an earlier one that are still being forgotten do not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise LaunchError(_refusal(error, f"port {port} ({name}) on {host}")) from None


def _refusal(error: OSError, what: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"{what} is in use: end what listens there, or choose other ports with --port"
        case errno.EACCES:
            return f"{what} needs more rights: choose ports above 1023 with --port"
        case _:
            return f"{what} cannot be listened on ({error}): give an address of this machine with --host"
