"""Steps of the set-up: told when they fail, ended with the launcher; locks, ports, the data home's place."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from launcher import commands
from launcher.arguments import home_of, read_arguments
from launcher.commands import run_step, try_step
from launcher.errors import LaunchError
from launcher.locks import exclusive
from launcher.paths import SCRIPTS, Home
from launcher.ports import Ports
from launcher.run import _sound_file
from launcher.runs import Run
from launcher.supervised import Supervised
from launcher.supervisor import Order

pytestmark = pytest.mark.unit

END_TIMEOUT_S = 20.0

STEP = """
import sys
from pathlib import Path
from launcher.commands import run_step
from launcher.errors import sentences

with sentences():
    run_step("a long step", ["sh", "-c", "sleep 600 & echo $! > pid; wait"], writes_to=Path("."))
"""

HOLDER = """
import sys, time
from pathlib import Path
from launcher.locks import exclusive

with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def program(source: str, folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A launcher's part, as a process of its own in `folder`."""
    with subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_step_and_what_it_started_end_with_the_launcher(number: signal.Signals, tmp_path: Path) -> None:
    with program(STEP, tmp_path) as launcher:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip() != "")
        sleeper = psutil.Process(int((tmp_path / "pid").read_text()))
        launcher.send_signal(number)
        _, told = launcher.communicate(timeout=END_TIMEOUT_S)
    assert launcher.returncode == 128 + number
    assert "Traceback" not in told
    wait_until(lambda: not sleeper.is_running() or sleeper.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("delay_s", [0.0, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032])
def test_an_interrupt_while_a_step_is_being_started_is_not_lost(delay_s: float, tmp_path: Path) -> None:
    with program(STEP, tmp_path) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "  a long step ...\n"
        time.sleep(delay_s)
        launcher.send_signal(signal.SIGINT)
        launcher.communicate(timeout=END_TIMEOUT_S)
    assert launcher.returncode == 128 + signal.SIGINT


ORPHAN = """
import os, subprocess, sys, time
from launcher.processes import end_with_parent

if os.fork() == 0:
    ask = end_with_parent()
    if os.fork() == 0:
        time.sleep(0.3)
        ask()
        print("lives", flush=True)
    os._exit(0)
"""


def test_a_child_whose_parent_died_before_it_could_ask_ends_too(tmp_path: Path) -> None:
    with program(ORPHAN, tmp_path) as parent:
        told, _ = parent.communicate(timeout=END_TIMEOUT_S)
    assert told == ""


def test_a_step_that_fails_is_told_with_its_status(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"^a step failed with status 3; .*Start again to resume"):
        run_step("a step", ["sh", "-c", "exit 3"], writes_to=tmp_path)
    assert not try_step("a step", ["false"])


def test_a_step_that_filled_the_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "free_bytes", lambda _folder: 1000)
    with pytest.raises(LaunchError, match=rf"^a step: the disk of {tmp_path} is full: free some space"):
        run_step("a step", ["false"], writes_to=tmp_path)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"no-such-program does not start \(No such file"):
        run_step("a step", [tmp_path / "no-such-program"], writes_to=tmp_path)


def test_a_second_start_waits_for_the_first_and_goes_on_when_that_dies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "snac.lock"
    with program(HOLDER, tmp_path, str(lock)) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with program(HOLDER, tmp_path, str(lock)) as second:
            assert second.stdout is not None
            assert second.stdout.readline() == "Another start is at work on snac; waiting for it ...\n"
            first.kill()
            assert second.stdout.readline() == "held\n"
    with exclusive(lock):
        assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        (Ports(grpc=0, metrics=1, http=2), r"port 0 \(gRPC\): give one from 1 to 65535"),
        (Ports.from_grpc(65534), r"port 65536 \(HTTP\): give one"),
        (Ports(grpc=-1), r"port -1"),
        (Ports(grpc=8002), r"gRPC 8002, metrics 8002, HTTP 8003: two are the same"),
    ],
)
def test_ports_that_cannot_be_are_refused(ports: Ports, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LaunchError, match=message):
        ports.check_free("127.0.0.1")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(LaunchError, match=r"on 192\.0\.2\.1 cannot be listened on .*--host"):
        Ports.free().check_free("192.0.2.1")


@pytest.mark.parametrize("command", ["run", "test", "check"])
def test_a_data_home_may_be_relative_and_have_spaces(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORPHEUS_HOME", "data home")
    assert home_of(read_arguments([command])).root == tmp_path / "data home"
    home = home_of(read_arguments([command, "--home", "other home/ä"]))
    assert home.root == tmp_path / "other home" / "ä"
    home.make()
    assert home.runs.is_dir()


def test_a_data_home_without_any_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Home.from_environment({"XDG_DATA_HOME": str(tmp_path)}).root == tmp_path / "orpheus-triton"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Home.from_environment({}).root == tmp_path / ".local" / "share" / "orpheus-triton"


def test_a_data_home_that_a_search_path_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="search paths separate folders with ':'"):
        Home(tmp_path / "a:b").make()
    assert not (tmp_path / "a:b").exists()


def test_a_sound_file_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    assert _sound_file(tmp_path / "new" / "said.wav") == tmp_path / "new" / "said.wav"
    with pytest.raises(LaunchError, match=r"is a folder, .*--out"):
        _sound_file(tmp_path)
    with pytest.raises(LaunchError, match="cannot be written"):
        _sound_file(Path("/proc/said.wav"))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_server_that_could_not_be_prepared_leaves_no_folder(error: BaseException, tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()

    def order_for(run: Run) -> Order:
        (run.folder / "backends").mkdir()
        raise error

    server = Supervised(home)
    with pytest.raises(type(error)):
        server.start(order_for)
    server.stop()
    assert server.exit_code() is None
    assert list(home.runs.iterdir()) == []
