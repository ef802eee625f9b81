"""NVIDIA's perf_analyzer drives the real `orpheus_tts` on a real Triton."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.arguments import read_arguments
from launcher.errors import LaunchError
from launcher.paths import Home
from launcher.perf import command
from launcher.perf.analyzer import Analyzer, find_analyzer
from launcher.perf.configuration import load, read
from launcher.perf.export import read_export
from launcher.profile import Streams
from models.replay_script import Script
from triton.bls_repository import Bench, Served, serving

pytestmark = pytest.mark.triton

TIMEOUT_S = 120.0
SCRIPTS = [Script(frames=30, rate=83.0, stream=number) for number in range(3)]
SPOKEN_S = SCRIPTS[0].frames * 7 / SCRIPTS[0].rate
CAP = 6


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    try:
        return find_analyzer(Home.from_environment(os.environ), os.environ)
    except LaunchError as error:
        pytest.skip(f"no perf_analyzer is to be had: {error}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serving(Bench(streams=Streams(max_streams=CAP), cancel_poll_s=0.0), tmp_path_factory.mktemp("perf"))


def sweep_file(folder: Path, level: str, *, requests: int) -> Path:
    """A configuration of streams with several responses."""
    given = folder / "inputs.json"
    given.write_text(json.dumps({"data": [{"text": [str(script)], "trim_silence": [False]} for script in SCRIPTS]}))
    path = folder / "replayed.flags"
    lines = ["-m orpheus_tts", "-i grpc", "--streaming", "--async", f"--input-data={given}", level]
    path.write_text("\n".join([*lines, f"--request-count={requests}"]))
    return path


def test_the_smallest_configuration_gives_percentiles(analyzer: Analyzer, served: Served, tmp_path: Path) -> None:
    home = Home.from_environment(os.environ)
    arguments = ["perf", "smallest", "--address", served.url, "--out", str(tmp_path / "out"), "--requests", "4"]
    assert command.perf(read_arguments([*arguments, "--timeout", str(TIMEOUT_S)]), home) == 0
    told = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert told["analyzer"] == analyzer.version()
    (level,) = told["levels"]
    assert (level["mode"], level["value"], level["requests"]) == ("concurrency", 2, 4)
    for figure in ("first_response_ms", "last_response_ms"):
        spread = level[figure]
        assert list(spread) == ["p50", "p90", "p95", "p99"]
        assert 0 < spread["p50"] <= spread["p90"] <= spread["p95"] <= spread["p99"] < TIMEOUT_S * 1000
    assert (tmp_path / "out" / "figures.svg").read_text().startswith("<svg ")
    assert "Concurrency: 2" in (tmp_path / "out" / "perf_analyzer.log").read_text()


@pytest.mark.parametrize("level", ["--concurrency-range=1", "--concurrency-range=4", "--request-rate-range=1"])
def test_streams_are_read_response_by_response_to_their_end(
    level: str, analyzer: Analyzer, served: Served, tmp_path: Path
) -> None:
    found = read(sweep_file(tmp_path, level, requests=4))
    export = tmp_path / "export.json"
    flags = [*found.flags(found.levels[0]), "-u", served.url, "--profile-export-file", str(export)]
    analyzer.measure(flags, timeout_s=TIMEOUT_S)
    exchanges = read_export(export)
    assert len(exchanges) == 4
    for exchange in exchanges:
        assert exchange.sent_ns < exchange.arrived_ns[0]
        # Tokens come at their rate, so no stream that was read to its end is over sooner.
        assert (exchange.arrived_ns[-1] - exchange.sent_ns) / 1e9 > 0.9 * SPOKEN_S
    assert sum(len(exchange.arrived_ns) for exchange in exchanges) > len(exchanges)
    with pytest.raises(UnicodeDecodeError):
        export.read_bytes().decode()


def test_a_refusal_is_told(analyzer: Analyzer, served: Served, tmp_path: Path) -> None:
    found = read(sweep_file(tmp_path, "--concurrency-range=8", requests=8))
    with pytest.raises(
        LaunchError, match=rf"status \d+: Failed to retrieve results .*full: all {CAP} streams are taken"
    ):
        analyzer.measure([*found.flags(8), "-u", served.url], timeout_s=TIMEOUT_S)


def test_a_model_that_is_not_there_is_told(served: Served) -> None:
    command.require_ready(served.url, load("smallest").model)
    with pytest.raises(LaunchError, match="has no model whisper that is ready"):
        command.require_ready(served.url, "whisper")
