"""A server leaves nothing behind, whatever ends it: shown with a model that makes a mess on purpose."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from launcher.environments import SERVER_CPU, existing_server_environment
from launcher.errors import LaunchError
from launcher.paths import SCRIPTS, Home
from launcher.ports import Ports
from launcher.runs import LEDGER
from launcher.server import ServerOptions, TritonServer
from launcher.server_environment import ServerEnvironment

pytestmark = pytest.mark.triton

END_TIMEOUT_S = 60.0

CONFIG = """
backend: "python"
max_batch_size: 0
input [{ name: "x" data_type: TYPE_STRING dims: [1] }]
output [{ name: "y" data_type: TYPE_STRING dims: [1] }]
instance_group [{ kind: KIND_CPU count: 1 }]
"""

MESSY_MODEL = """
import subprocess, sys
from multiprocessing import resource_tracker, shared_memory

class TritonPythonModel:
    def initialize(self, args):
        deaf = "import os, signal, time; os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        self.child = subprocess.Popen(["python3", "-c", deaf])
        self.memory = shared_memory.SharedMemory(create=True, size=4096)
        resource_tracker.unregister("/" + self.memory.name, "shared_memory")
        print("MESS", self.child.pid, self.memory.name, flush=True)

    def execute(self, requests):
        raise NotImplementedError
"""

BROKEN_MODEL = """
class TritonPythonModel:
    def initialize(self, args):
        raise RuntimeError("no such weights")
"""

HOLDER = """
import sys, time
from pathlib import Path
from launcher.errors import sentences
from launcher.paths import Home
from launcher.ports import Ports
from launcher.runs import LEDGER
from launcher.server import ServerOptions, TritonServer
from launcher.server_environment import ServerEnvironment

with sentences():
    environment = ServerEnvironment.at(Path(sys.argv[1]))
    options = ServerOptions(
        repository=Path(sys.argv[2]), environment=environment, home=Home(Path(sys.argv[3])), ports=Ports.free()
    )
    with TritonServer(options) as server:
        print(server.log_path, flush=True)
        time.sleep(600)
"""


@pytest.fixture(scope="module")
def environment() -> ServerEnvironment:
    root = existing_server_environment(Home.from_environment(os.environ), SERVER_CPU, os.environ)
    if root is None:
        pytest.skip("the server's environment is not made yet: scripts/test makes it")
    return ServerEnvironment.at(root)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Its name would be several commands to a shell."""
    return Home(tmp_path / "a home; with (signs)")


def repository(parent: Path, source: str) -> Path:
    folder = parent / "repository" / "messy"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.py").write_text(source)
    return folder.parent


def options(environment: ServerEnvironment, home: Home, tmp_path: Path, source: str = MESSY_MODEL) -> ServerOptions:
    return ServerOptions(
        repository=repository(tmp_path, source), environment=environment, home=home, ports=Ports.free()
    )


class Mess:
    """What the messy model made: a child that does not hear SIGTERM, a shared-memory file without an owner."""

    def __init__(self, log_path: Path) -> None:
        line = next(line for line in log_path.read_text().splitlines() if line.startswith("MESS "))
        _, pid, memory = line.split()
        self.child = psutil.Process(int(pid))
        self.memory = Path("/dev/shm") / memory  # noqa: S108

    def is_there(self) -> bool:
        return self.memory.exists() and self._child_lives()

    def is_gone(self) -> bool:
        return not self.memory.exists() and not self._child_lives()

    def _child_lives(self) -> bool:
        # Without a supervisor an orphan's end is collected by whatever is process 1 here, if it does such things.
        return self.child.is_running() and self.child.status() != psutil.STATUS_ZOMBIE


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_until_gone(mess: Mess, home: Home) -> None:
    wait_until(lambda: mess.is_gone() and not list(home.runs.iterdir()))


@contextlib.contextmanager
def holder(given: ServerOptions) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds a server, as a launcher does."""
    arguments = [str(given.environment.root), str(given.repository), str(given.home.root)]
    command = [sys.executable, "-c", HOLDER, *arguments]
    variables = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_stopped_server_leaves_nothing(environment: ServerEnvironment, home: Home, tmp_path: Path) -> None:
    with TritonServer(options(environment, home, tmp_path)) as server:
        mess = Mess(server.log_path)
        assert mess.is_there()
        assert server.leftovers()
    assert server.leftovers() == []
    assert mess.is_gone()
    assert server.exit_code() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_launcher_that_ends_takes_everything_with_it(
    number: signal.Signals, environment: ServerEnvironment, home: Home, tmp_path: Path
) -> None:
    with holder(options(environment, home, tmp_path)) as launcher:
        assert launcher.stdout is not None
        mess = Mess(Path(launcher.stdout.readline().strip()))
        assert mess.is_there()
        launcher.send_signal(number)
        assert launcher.wait(END_TIMEOUT_S) == (-number if number == signal.SIGKILL else 128 + number)
    wait_until_gone(mess, home)


def test_a_server_that_dies_is_told_and_swept_up(environment: ServerEnvironment, home: Home, tmp_path: Path) -> None:
    with TritonServer(options(environment, home, tmp_path)) as server:
        mess = Mess(server.log_path)
        psutil.Process(mess.child.ppid()).parent().kill()  # type: ignore[union-attr]  # the stub's parent is Triton
        wait_until_gone(mess, home)
        wait_until(lambda: server.exit_code() is not None)
        assert server.exit_code() == 128 + signal.SIGKILL
        assert str(server.log_path) in server.death_notice()
    assert server.leftovers() == []


def test_what_a_killed_supervisor_leaves_the_next_start_removes(
    environment: ServerEnvironment, home: Home, tmp_path: Path
) -> None:
    given = options(environment, home, tmp_path)
    with holder(given) as launcher:
        assert launcher.stdout is not None
        mess = Mess(Path(launcher.stdout.readline().strip()))
        wait_until(lambda: any(mess.memory.name in ledger.read_text() for ledger in home.runs.glob(f"*/{LEDGER}")))
        supervisors = psutil.Process(launcher.pid).children()
        for supervisor in supervisors:
            supervisor.kill()
        launcher.kill()
        psutil.wait_procs(supervisors, timeout=END_TIMEOUT_S)
    assert mess.is_there()
    with TritonServer(given) as server:
        assert mess.is_gone()
        assert server.leftovers()
    assert list(home.runs.iterdir()) == []


def test_a_model_that_does_not_load_is_told_with_the_log(
    environment: ServerEnvironment, home: Home, tmp_path: Path
) -> None:
    server = TritonServer(options(environment, home, tmp_path, BROKEN_MODEL))
    with pytest.raises(LaunchError, match=r"Triton ended with status 1 .*") as caught, server:
        pass
    assert "no such weights" in str(caught.value)
    assert str(server.log_path) in str(caught.value)
    assert server.leftovers() == []


def test_a_busy_port_is_told_before_anything_starts(environment: ServerEnvironment, home: Home, tmp_path: Path) -> None:
    given = options(environment, home, tmp_path)
    with (
        socket.create_server(("127.0.0.1", given.ports.metrics)),
        pytest.raises(LaunchError, match=rf"port {given.ports.metrics} \(metrics\) on 127.0.0.1 is in use: .*--port"),
    ):
        TritonServer(given).start()
    assert not home.root.exists()
