"""scripts/run as a user starts it, from the models on (the environments are made by scripts/test)."""

import os
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from launcher.environments import SERVER_CPU, existing_server_environment
from launcher.paths import Home
from launcher.ports import Ports
from launcher.processes import SHARED_MEMORY, all_processes
from launcher.server_environment import OVERRIDE
from orpheus_core.layout import SAMPLE_RATE_HZ

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

START_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    root = existing_server_environment(Home.from_environment(os.environ), SERVER_CPU, os.environ)
    if root is None:
        pytest.skip("the server's environment is not made yet: scripts/test makes it")
    settings = ("ORPHEUS_", "VLLM_", "WARMUP_", "HF_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    return {**kept, OVERRIDE: str(root)}


@pytest.fixture(autouse=True)
def nothing_left(home: Home) -> Iterator[None]:
    files = set(SHARED_MEMORY.iterdir())
    yield
    assert not list(home.runs.glob("*"))
    assert not {path for path in set(SHARED_MEMORY.iterdir()) - files if path.name.startswith("orpheus-")}
    assert not [pid for pid in all_processes() if str(home.runs) in working_directory(pid)]


def working_directory(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""


def command(home: Home, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "launcher", "run", "--home", str(home.root), *arguments]


def ports() -> list[str]:
    free = Ports.free()
    return ["--port", str(free.grpc), "--metrics-port", str(free.metrics), "--http-port", str(free.http)]


def test_once_speaks_a_sentence_into_a_file(home: Home, variables: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "said.wav"
    arguments = command(home, "--once", "--text", "The kettle is on.", "--voice", "leo", "--out", str(out), *ports())
    ended = subprocess.run(
        arguments, env=variables, capture_output=True, text=True, check=False, timeout=START_TIMEOUT_S
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert str(out) in ended.stdout
    assert "real-time factor" in ended.stdout
    assert "ORPHEUS_MODEL" in ended.stdout
    with wave.open(str(out)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE_HZ, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
    assert samples.size > SAMPLE_RATE_HZ // 2
    assert np.abs(samples).max() > 0.05 * np.iinfo(np.int16).max


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_serving_launcher_ends_with_everything(
    number: signal.Signals, status: int, home: Home, variables: dict[str, str]
) -> None:
    with subprocess.Popen(command(home, *ports()), env=variables, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        started = time.monotonic()
        for line in launcher.stdout:
            assert time.monotonic() - started < START_TIMEOUT_S
            if line.startswith("Serving"):
                break
        launcher.send_signal(number)
        assert launcher.wait(STOP_TIMEOUT_S) == status
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while list(home.runs.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--profile", "nosuch"], "error: profile 'nosuch': no such profile; there are cpu"),
        (["--out", "/proc/speech.wav"], "error: /proc cannot be written"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    arguments: list[str], sentence: str, home: Home, variables: dict[str, str]
) -> None:
    ended = subprocess.run(
        command(home, *ports(), *arguments), env=variables, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(sentence)
    assert "Traceback" not in ended.stderr


def test_a_busy_port_is_told_at_once(home: Home, variables: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            command(home, "--port", str(port)), env=variables, capture_output=True, text=True, check=False, timeout=60
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: port {port} (gRPC) on 127.0.0.1 is in use")
