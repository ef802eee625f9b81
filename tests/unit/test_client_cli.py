"""The `orpheus` command against a scripted peer: output, messages, exit codes, interruption."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import grpc
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from orpheus_client.cli import app
from orpheus_client.cli._exits import EXITS
from unit.client_scripted_triton import Answer, ScriptedTriton, fails, hangs, message, ramp, running, says

pytestmark = pytest.mark.unit

Status = grpc.StatusCode
WAIT_S = 30.0
SAMPLES = 4800
SPEAKS = says(message(ramp(SAMPLES), final=True))


@contextmanager
def served(*script: Answer) -> Iterator[ScriptedTriton]:
    """The scripted server in a thread of its own: the command has its own event loop."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    started: list[ScriptedTriton] = []
    ready = threading.Event()

    async def serve() -> None:
        async with running(*script) as triton:
            started.append(triton)
            ready.set()
            await stop.wait()

    def work() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(WAIT_S)
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(WAIT_S)


def orpheus(*arguments: str, url: str = "127.0.0.1:1", stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, arguments, input=stdin, env={"ORPHEUS_URL": url})


def test_say_writes_a_wav_file(tmp_path: Path) -> None:
    out = tmp_path / "a.wav"
    with served(SPEAKS) as triton:
        result = orpheus("say", "Hello there.", "-o", str(out), "--voice", "leo", "--seed", "3", url=triton.url)
    assert result.exit_code == 0, result.output
    assert "0.20 s of speech, first audio after" in result.stderr
    with wave.open(str(out)) as wav:
        assert np.array_equal(np.frombuffer(wav.readframes(SAMPLES + 1), "<i2"), ramp(SAMPLES))
    names = [tensor.name for tensor in triton.requests[0].inputs]
    assert names == ["text", "voice", "seed", "trim_silence"]


def test_say_writes_raw_samples_to_stdout() -> None:
    with served(SPEAKS) as triton:
        result = orpheus("say", "-", "-o", "-", url=triton.url, stdin=b"From stdin.")
    assert np.array_equal(np.frombuffer(result.stdout_bytes, "<i2"), ramp(SAMPLES))
    assert triton.texts() == ["From stdin."]


def test_say_reads_a_file_of_any_length_and_prints_json(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("This sentence is spoken first. " * 9)
    with served(SPEAKS) as triton:
        result = orpheus("say", "-f", str(text), "-o", str(tmp_path / "a.wav"), "--json", url=triton.url)
    told = json.loads(result.stdout)
    assert told["duration_s"] == (9 * SAMPLES + 8 * 4800) / 24000
    assert told["finish_reason"] == "stop"
    assert told["stats"]["frames"] == 9 * 12
    assert len(triton.requests) == 9


class _Speaker:
    """Stands for `sounddevice.RawOutputStream`."""

    played = b""

    def __init__(self, *, samplerate: int, channels: int, dtype: str) -> None:
        assert (samplerate, channels, dtype) == (24000, 1, "int16")

    def write(self, data: bytes) -> None:
        type(self).played += data

    def __enter__(self) -> "_Speaker":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_say_plays_when_no_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("sounddevice")
    module.__dict__.update(RawOutputStream=_Speaker, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    with served(SPEAKS) as triton:
        result = orpheus("say", "Hello.", url=triton.url)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("played: 0.20 s of speech")
    assert np.array_equal(np.frombuffer(_Speaker.played, "<i2"), ramp(SAMPLES))


def test_without_a_loudspeaker_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = orpheus("say", "Hello.")
    assert result.exit_code == 1
    assert "write a file with -o" in result.stderr


@pytest.mark.parametrize(
    ("status", "details", "code"),
    [
        (Status.INVALID_ARGUMENT, "text: too long: shorten it", 2),
        (Status.UNAVAILABLE, "full: 64 streams speak", 3),
        (Status.UNAVAILABLE, "engine: stalled", 4),
        (Status.INTERNAL, "the model produced no speech", 6),
        (Status.NOT_FOUND, "no such model", 6),
    ],
)
def test_a_failure_is_one_sentence_and_its_exit_code(
    status: grpc.StatusCode, details: str, code: int, tmp_path: Path
) -> None:
    with served(fails(status, details)) as triton:
        result = orpheus("say", "Hello.", "-o", str(tmp_path / "a.wav"), url=triton.url)
    assert (result.exit_code, result.stderr) == (code, f"orpheus: {details}\n")
    assert list(tmp_path.iterdir()) == []
    assert code in EXITS


@pytest.mark.parametrize("command", [("say", "Hi.", "-o", "-"), ("voices",), ("health",), ("bench", "--requests", "1")])
def test_a_server_that_is_not_there(command: tuple[str, ...]) -> None:
    result = orpheus(*command)
    assert result.exit_code == 4
    assert result.stderr.startswith("orpheus: 127.0.0.1:1: no connection: ")
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("say",), "give TEXT"),
        (("say", "a", "-f", "b"), "give TEXT"),
        (("say", "-f", "/nowhere/a.txt"), "/nowhere/a.txt"),
        (("say", "a", "-o", "-", "--json"), "both want stdout"),
        (("say", "a", "-o", "-", "--url", "nonsense"), "send host:port"),
        (("bench", "--rate", "1", "--concurrency", "1"), "two kinds of load"),
        (("bench", "--rate", "0"), "give more than 0"),
        (("bench", "--rate", "1", "--plot", "a.svg"), "give --rate more than once"),
        (("bench", "-f", "/nowhere/a.txt"), "/nowhere/a.txt"),
    ],
)
def test_bad_input_is_told(arguments: tuple[str, ...], said: str) -> None:
    result = orpheus(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_file_that_cannot_be_written_costs_the_server_nothing(tmp_path: Path) -> None:
    with served(SPEAKS) as triton:
        result = orpheus("say", "Hello.", "-o", str(tmp_path / "nowhere" / "a.wav"), url=triton.url)
    assert result.exit_code == 1
    assert result.stderr == f"orpheus: {tmp_path}/nowhere: no such folder\n"
    assert not triton.requests


def test_voices_are_listed() -> None:
    with served(SPEAKS) as triton:
        assert {"tara", "leo", "english"} <= set(orpheus("voices", url=triton.url).stdout.split())
        told = json.loads(orpheus("voices", "--json", url=triton.url).stdout)
    assert told[0] == {"name": "tara", "language": "en", "checkpoint": "english", "is_default": True}


def test_health_is_told_and_is_the_exit_code() -> None:
    with served(SPEAKS) as triton:
        result = orpheus("health", "--speak", "--json", url=triton.url)
        told = json.loads(result.stdout)
        assert (result.exit_code, told["speaks"]) == (0, True)
        assert told["first_audio_ms"] > 0
        assert triton.requests[0].parameters["probe"].bool_param
        triton.ready = False
        result = orpheus("health", url=triton.url)
        assert (result.exit_code, result.stdout) == (4, "live: yes\nready: no\nspeaks: no\n")


def test_bench_counts_what_was_spoken_and_what_failed(tmp_path: Path) -> None:
    out, texts = tmp_path / "figures.json", tmp_path / "texts.txt"
    texts.write_text("One.\n\n  Two.  \n")
    script = [SPEAKS, fails(Status.UNAVAILABLE, "full: no"), SPEAKS]
    with served(*script) as triton:
        result = orpheus("bench", "--requests", "4", "-f", str(texts), "--json", str(out), url=triton.url)
    assert result.exit_code == 0, result.output
    assert "3 of 4 spoken in" in result.stdout
    assert triton.texts() == ["One.", "Two.", "One.", "Two."]
    figures = json.loads(out.read_text())
    assert figures["errors"] == {"busy": 1}
    assert figures["audio_s"] == pytest.approx(0.6)
    assert figures["load"]["concurrency"] == 1
    assert 0 < figures["first_audio_ms"]["p50"] <= figures["first_audio_ms"]["max"]


def test_bench_of_which_nothing_was_spoken_fails_as_it_did() -> None:
    with served(fails(Status.UNAVAILABLE, "full: no")) as triton:
        result = orpheus("bench", "--rate", "1000", "--requests", "3", url=triton.url)
    assert result.exit_code == 3
    assert "nothing was spoken: full: no" in result.stderr


def test_bench_at_several_rates_tells_the_highest_that_held(tmp_path: Path) -> None:
    out, picture = tmp_path / "curve.json", tmp_path / "curve.svg"
    # Each rate makes four requests, so the third meets the refusal.
    script = [*[SPEAKS] * 9, fails(Status.UNAVAILABLE, "full: no")]
    rates = [word for rate in ("80", "20", "40", "160") for word in ("--rate", rate)]
    limits = ["--max-first-audio-ms", "100000", "--max-stalled-percent", "1e9"]
    with served(*script) as triton:
        files = ["--json", str(out), "--plot", str(picture)]
        result = orpheus("bench", *rates, "--requests", "4", *limits, *files, url=triton.url)
    assert result.exit_code == 0, result.output
    assert "Rated load: 40 new streams a second" in result.stdout
    curve = json.loads(out.read_text())
    assert curve["rated_hz"] == 40
    assert [point["arrivals_hz"] for point in curve["points"]] == [20, 40, 80]
    assert curve["points"][2]["broken"] == ["3 of 4 not spoken"]
    assert (curve["load"]["requests"], curve["load"]["concurrency"]) == (4, None)
    assert "arrivals_hz" not in curve["load"]
    assert picture.read_text().startswith("<svg ")


@pytest.mark.parametrize("arguments", [("say", "Hello.", "-o", "a.wav"), ("bench", "--concurrency", "2")])
def test_an_interrupt_cancels_at_the_server_and_leaves_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    with served(hangs(message(ramp(SAMPLES)))) as triton:
        command = [str(Path(sys.executable).with_name("orpheus")), *arguments]
        environment = {**os.environ, "ORPHEUS_URL": triton.url}
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
        _until(triton.began.is_set)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_S)
        _until(triton.cancelled.is_set)
    assert (process.returncode, said) == (130, "")
    assert list(tmp_path.iterdir()) == []


def _until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.02)):
        if holds():
            return
        pause.wait(0.02)
    raise AssertionError("it did not come to pass")
