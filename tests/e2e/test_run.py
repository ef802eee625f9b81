"""scripts/run as a user starts it, from the models on (the environments are made by scripts/test)."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from launcher.environments import SERVER_CPU, existing_server_environment
from launcher.paths import Home
from launcher.ports import Ports
from launcher.processes import SHARED_MEMORY, all_processes, shared_memory_of
from launcher.server_environment import OVERRIDE
from orpheus_core.layout import SAMPLE_RATE_HZ

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

START_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 60.0
SERVING = "Ctrl-C ends it"
WAV_HEADER_BYTES = 44


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("data home"))


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
    new = {path for path in set(SHARED_MEMORY.iterdir()) - files if path.name.startswith("orpheus-")}
    # Servers of other data homes may run beside this test: theirs are in use.
    assert not new - shared_memory_of(all_processes())
    assert not [pid for pid in all_processes() if str(home.runs) in working_directory(pid)]
    assert not [pid for pid in all_processes() if str(home.root) in command_line(pid)]


def working_directory(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@contextlib.contextmanager
def started(home: Home, variables: dict[str, str], *arguments: str, until: str) -> Iterator["subprocess.Popen[str]"]:
    """A launcher that has told the line which begins so."""
    with subprocess.Popen(
        command(home, *arguments, *ports()), env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout is not None
        started_s = time.monotonic()
        told = ""
        for line in launcher.stdout:
            assert time.monotonic() - started_s < START_TIMEOUT_S
            told += line
            if line.startswith(until):
                break
        else:
            assert launcher.stderr is not None
            pytest.fail(f"it ended before {until!r}:\n{told}{launcher.stderr.read()}")
        try:
            yield launcher
        finally:
            # Whoever still runs here has failed his test; waiting for him would have no end.
            launcher.kill()


def command(home: Home, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "launcher", "run", "--home", str(home.root), *arguments]


def ports() -> list[str]:
    free, bridge = Ports.free(), Ports.free()
    own = ["--port", str(free.grpc), "--metrics-port", str(free.metrics), "--http-port", str(free.http)]
    return [*own, "--bridge-port", str(bridge.grpc)]


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


def test_two_starts_at_once_both_speak(home: Home, variables: dict[str, str], tmp_path: Path) -> None:
    outs = [tmp_path / "one.wav", tmp_path / "two.wav"]
    starts = [
        subprocess.Popen(
            command(home, "--once", "--out", str(out), *ports()), env=variables, stdout=subprocess.PIPE, text=True
        )
        for out in outs
    ]
    for start, out in zip(starts, outs, strict=True):
        told, _ = start.communicate(timeout=START_TIMEOUT_S)
        assert start.returncode == 0, told
        assert out.stat().st_size > SAMPLE_RATE_HZ


def test_it_ends_with_a_url_that_speaks(home: Home, variables: dict[str, str]) -> None:
    with started(home, variables, until=SERVING) as launcher:
        told = cast("list[str]", launcher.args)
        url = f"http://127.0.0.1:{told[told.index('--bridge-port') + 1]}"
        asked = {"model": "orpheus", "voice": "leo", "input": "The kettle is on.", "response_format": "wav"}
        request = urllib.request.Request(
            f"{url}/v1/audio/speech", json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            samples = np.frombuffer(answer.read()[WAV_HEADER_BYTES:], dtype=np.int16)
        with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
            health = json.load(answer)
        launcher.terminate()
        assert launcher.wait(STOP_TIMEOUT_S) == 128 + signal.SIGTERM
    assert samples.size > SAMPLE_RATE_HZ // 2
    assert np.abs(samples).max() > 0.05 * np.iinfo(np.int16).max
    assert (health["status"], health["mode"], health["db_own_tables"]) == ("ok", "orpheus_tts", True)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_serving_launcher_ends_with_everything(
    number: signal.Signals, status: int, home: Home, variables: dict[str, str]
) -> None:
    with started(home, variables, until=SERVING) as launcher:
        launcher.send_signal(number)
        assert launcher.wait(STOP_TIMEOUT_S) == status
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while list(home.runs.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.mark.parametrize("phase", ["  building snac ...", "Triton loads its models ..."])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_start_ends_in_every_phase(
    *,
    number: signal.Signals,
    status: int,
    phase: str,
    home: Home,
    variables: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = Home(tmp_path_factory.mktemp("new home")) if "building" in phase else home
    # The demo voice is shipped, so there is nothing to build.
    arguments = ["--profile", "cpu"] if "building" in phase else []
    with started(place, variables, *arguments, until=phase) as launcher:
        launcher.send_signal(number)
        told = launcher.communicate(timeout=STOP_TIMEOUT_S)[1]
        assert launcher.returncode == status
    assert "Traceback" not in told
    assert list(place.runs.iterdir()) == []
    assert not [pid for pid in all_processes() if str(place.root) in command_line(pid)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--profile", "nosuch"], "error: profile 'nosuch': no such profile; there are cpu"),
        (["--out", "/proc/speech.wav"], "error: /proc cannot be written"),
        (["--out", "/proc"], "error: /proc is a folder, or cannot be written"),
        (["--metrics-port", "0"], "error: port 0 (metrics): give one from 1 to 65535"),
        (["--host", "192.0.2.1"], "error: port "),
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
