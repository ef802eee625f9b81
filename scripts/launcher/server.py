"""A real Triton server as a context: started on a rendered repository, waited for, ended without a trace."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.local_server import LocalServer
from launcher.paths import LOCAL_BACKENDS, Home
from launcher.ports import LOOPBACK, Ports
from launcher.runs import Run
from launcher.server_environment import ServerEnvironment
from launcher.supervisor import Order
from launcher.triton_flags import EXIT_TIMEOUT_S, TritonFlags

GRACE_S = EXIT_TIMEOUT_S + 10.0
"""Triton's own time to finish requests, and time to unload its models."""

BACKENDS, REPOSITORY = "backends", "repository"
"""In the run's folder, where Triton works: it starts Python models by a shell without quoting their paths, so it gets
these relative ones, whatever signs the data home's name has."""

SERVER_VARIABLES = {
    # vLLM's sockets lie in the run's folder, which is every process's working directory: a relative name is short
    # enough for a socket wherever the data home is, and goes with the folder.
    "VLLM_RPC_BASE_PATH": ".",
    "VLLM_NO_USAGE_STATS": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What to serve, with what, where."""

    repository: Path
    environment: ServerEnvironment
    home: Home
    flags: TritonFlags = field(default_factory=TritonFlags)
    ports: Ports = field(default_factory=Ports)
    host: str = LOOPBACK
    backends: Path = LOCAL_BACKENDS
    """Folder of python-based backends, one folder each."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables on top of the inherited ones."""
    ready_timeout_s: float = 300.0


class TritonServer(LocalServer):
    """One Triton process with everything it starts."""

    def __init__(self, options: ServerOptions) -> None:
        super().__init__(
            options.home, name="Triton", kind="triton", host=options.host, ready_port=options.ports.http,
            ready_path="/v2/health/ready", ready_timeout_s=options.ready_timeout_s,
        )  # fmt: skip
        self._options = options

    @property
    def grpc_url(self) -> str:
        """`host:port` for gRPC clients on this machine."""
        return f"{self._reachable_host}:{self._options.ports.grpc}"

    @property
    def http_url(self) -> str:
        """`host:port` of the HTTP endpoint."""
        return f"{self._reachable_host}:{self._options.ports.http}"

    @property
    def metrics_url(self) -> str:
        """URL of the Prometheus page."""
        return f"http://{self._reachable_host}:{self._options.ports.metrics}/metrics"

    def check_ports(self) -> None:
        """
        Raises:
            LaunchError: one of the three is busy.
        """
        self._options.ports.check_free(self._options.host)

    def _order(self, run: Run) -> Order:
        options = self._options
        _assemble_backends(run.folder / BACKENDS, options)
        (run.folder / REPOSITORY).symlink_to(options.repository.resolve())
        flags = options.flags.local(
            repository=Path(REPOSITORY),
            backends=Path(BACKENDS),
            host=options.host,
            ports=options.ports,
            shared_memory_prefix=run.shared_memory_prefix,
        )
        return Order(
            command=[str(options.environment.tritonserver), *flags],
            environment={**options.environment.variables(os.environ), **SERVER_VARIABLES, **options.variables},
            log_path=str(self.log_path),
            grace_s=GRACE_S,
        )


def _assemble_backends(folder: Path, options: ServerOptions) -> None:
    """Triton looks up every backend under one folder: the python one from its wheel, copies of ours beside it."""
    python = folder / "python"
    python.mkdir(parents=True)
    for file in options.environment.python_backend_files:
        # Copied: Triton refuses a Python backend whose library is a link to somewhere else.
        shutil.copy(file, python / file.name)
    for backend in options.backends.iterdir():
        if (backend / "model.py").exists():
            shutil.copytree(backend, folder / backend.name, ignore=shutil.ignore_patterns("__pycache__"))
