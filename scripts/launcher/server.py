"""A real Triton server as a context: started on a rendered repository, waited for, ended without a trace."""

import http.client
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from launcher import server_log
from launcher.errors import LaunchError
from launcher.paths import LOCAL_BACKENDS, Home
from launcher.ports import LOOPBACK, Ports
from launcher.runs import Run
from launcher.server_environment import ServerEnvironment
from launcher.supervised import Supervised
from launcher.supervisor import Order
from launcher.triton_flags import EXIT_TIMEOUT_S, TritonFlags

GRACE_S = EXIT_TIMEOUT_S + 10.0
"""Triton's own time to finish requests, and time to unload its models."""

POLL_INTERVAL_S = 0.1
BACKENDS, REPOSITORY = "backends", "repository"
"""In the run's folder, where Triton works: it starts Python models by a shell without quoting their paths, so it gets
these relative ones, whatever signs the data home's name has."""

SERVER_VARIABLES = {
    # vLLM's sockets lie in the run's folder, which is every process's working directory: a relative name is short
    # enough for a socket wherever the data home is, and goes with the folder.
    "VLLM_RPC_BASE_PATH": ".",
    "VLLM_NO_USAGE_STATS": "1",
}


Progress = Callable[[float, str], None]
"""Called while waiting: seconds so far, the log's last line."""


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


class TritonServer:
    """One Triton process with everything it starts.

    `with TritonServer(options) as server:` starts it, waits until it is ready and ends it at last. Whatever becomes of
    this process, the supervisor beside Triton sees to it that no process and no shared-memory file is left.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._process = Supervised(options.home)
        self.log_path = options.home.logs / f"triton-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.log"

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

    def __enter__(self) -> "TritonServer":
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
        """Starts Triton without waiting for it.

        Raises:
            LaunchError: a port is busy or the data home cannot be written.
        """
        options = self._options
        options.ports.check_free(options.host)
        options.home.make()
        server_log.remove_old(options.home)
        self._process.start(self._order)

    def wait_ready(self, progress: Progress | None = None) -> float:
        """Waits until every model is loaded; returns the seconds it took.

        Raises:
            LaunchError: Triton ended, or was not ready within `ready_timeout_s`.
        """
        started = time.monotonic()
        while not self._is_ready():
            elapsed_s = time.monotonic() - started
            if (code := self.exit_code()) is not None:
                raise LaunchError(self._obituary(f"Triton ended with status {code} before it was ready"))
            if elapsed_s > self._options.ready_timeout_s:
                raise LaunchError(self._obituary(f"Triton was not ready within {elapsed_s:.0f} s"))
            if progress:
                progress(elapsed_s, "".join(server_log.tail(self.log_path, 1)))
            time.sleep(POLL_INTERVAL_S)
        return time.monotonic() - started

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.exit_code()

    def death_notice(self) -> str:
        """What to tell when it ended by itself."""
        return self._obituary(f"Triton ended with status {self.exit_code()}")

    def stop(self, *, grace: bool = True) -> None:
        """Ends Triton and everything it started; returns when nothing is left. Without `grace` it is killed at once."""
        self._process.stop(grace=grace)

    def leftovers(self) -> list[str]:
        """What is there of this server: processes, shared-memory files, its folder. Nothing, once it was stopped."""
        return self._process.leftovers()

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

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(self._reachable_host, self._options.ports.http, timeout=2.0)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _obituary(self, sentence: str) -> str:
        return "\n  ".join([f"{sentence}. Last lines of {self.log_path}:", *server_log.tail(self.log_path)])

    @property
    def _reachable_host(self) -> str:
        return LOOPBACK if self._options.host == "0.0.0.0" else self._options.host  # noqa: S104  (compared, not bound)


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
