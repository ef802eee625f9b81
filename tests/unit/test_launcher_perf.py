"""Configurations of perf_analyzer, what its export is read as, and which program is taken."""

import argparse
import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from launcher.arguments import read_arguments
from launcher.errors import LaunchError
from launcher.paths import CHECKOUT, PERF_CONFIGURATIONS, Home
from launcher.perf import analyzer as analyzers
from launcher.perf import command
from launcher.perf.analyzer import LIBRARIES, Analyzer, find_analyzer
from launcher.perf.configuration import Configuration, available, load, read
from launcher.perf.export import Exchange, read_export
from launcher.perf.figures import level_figures
from launcher.perf.report import table, write_report
from launcher.profile import available as profiles
from launcher.profile import load as load_profile
from orpheus_core.prompt import preset_prompt

pytestmark = pytest.mark.unit

MS = 1_000_000
VOICES = {"tara", "leo"}
"""Every profile has them."""

CODES_OF_EVERY_DECODER = 64
"""SNAC takes 4096, the demo voice's smallest table has these."""


def configuration(**changes: object) -> Configuration:
    whole = {
        "name": "some", "model": "orpheus_tts", "mode": "concurrency", "levels": (1.0, 2.0), "request_count": 4,
        "others": ("-m", "orpheus_tts"),
    } | changes  # fmt: skip
    return Configuration(**whole)  # type: ignore[arg-type]  # a test's table


def program(folder: Path, body: str) -> Path:
    path = folder / "perf_analyzer"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def inputs(name: str) -> list[dict[str, list[object]]]:
    steps: list[dict[str, list[object]]] = json.loads((PERF_CONFIGURATIONS / "inputs" / f"{name}.json").read_text())[
        "data"
    ]
    return steps


@pytest.mark.parametrize("name", available())
def test_a_configuration_names_a_model_of_ours_and_inputs_that_are_there(name: str) -> None:
    found = load(name)
    assert (CHECKOUT / "model_repository" / found.model).is_dir()
    (given,) = (flag.partition("=")[2] for flag in found.others if flag.startswith("--input-data="))
    steps = json.loads((CHECKOUT / given).read_text())["data"]
    assert len({frozenset(step) for step in steps}) == 1
    assert ("--streaming" in found.others) == (found.model != "snac_decoder")
    assert list(found.levels) == sorted(set(found.levels))


def test_the_readme_tells_of_every_configuration() -> None:
    page = (PERF_CONFIGURATIONS / "README.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in page.partition("| name |")[2].partition("\n\n")[0].splitlines()[2:]]
    assert sorted(rows) == available()


def test_every_profile_can_speak_the_texts() -> None:
    texts = [step for name in ("short", "medium", "long", "voices") for step in inputs(name)]
    longest = max(len(str(step["text"][0])) for step in texts)
    for name in profiles():
        assert longest <= min(choice.max_text_chars for choice in load_profile(name).profile.checkpoints), name
    assert {str(step["voice"][0]) for step in inputs("voices")} == VOICES


def test_the_prompts_are_in_the_layout_of_orpheus() -> None:
    for step, sentence in zip(inputs("prompts"), inputs("medium"), strict=True):
        text = str(sentence["text"][0])
        assert step["text_input"][0] in {preset_prompt(voice=voice, text=text) for voice in VOICES}
        assert json.loads(str(step["sampling_parameters"][0]))["max_tokens"] % 7 == 0


def test_the_windows_are_of_the_decoder_s_lengths_with_codes_in_range() -> None:
    windows = json.loads((PERF_CONFIGURATIONS / "inputs" / "windows.json").read_text())["data"]
    assert [window["codes"]["shape"] for window in windows] == [[8, 7], [16, 7], [32, 7], [64, 7]]
    for window in windows:
        frames, slots = window["codes"]["shape"]
        assert len(window["codes"]["content"]) == frames * slots
        assert all(0 <= code < CODES_OF_EVERY_DECODER for code in window["codes"]["content"])
        first, end = window["valid"]["content"]
        assert 0 <= first < end <= frames


def test_a_level_has_its_own_flags_and_one_number_of_requests() -> None:
    found = load("tts_voices_rate").changed(levels=[0.5], request_count=7)
    flags = found.flags(0.5)
    assert flags[-2:] == ["--request-rate-range=0.5", "--request-count=7"]
    assert sum(flag.startswith(("--request-rate-range", "--request-count")) for flag in flags) == 2
    assert "--request-distribution=poisson" in flags
    assert not any("#" in flag for flag in flags)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("-m x\n--request-count=4", "lines of one of"),
        ("--concurrency-range=1\n--request-count=4", "wants one -m"),
        ("-m x\n--concurrency-range=1\n--request-rate-range=1\n--request-count=4", "lines of one of"),
        ("-m x\n--concurrency-range=1", "--request-count=N"),
        ("-m x\n--concurrency-range=1:4\n--request-count=4", "'1:4' is no number: give one level on each line"),
        ("-m x\n--concurrency-range=0\n--request-count=4", "level 0: give more than 0"),
        ("-m x\n--concurrency-range=1.5\n--request-count=4", "1.5 streams at once: give a whole number"),
        ("-m x\n--concurrency-range=8\n--request-count=4", "8 streams at once want as many requests"),
    ],
)
def test_a_wrong_configuration_is_told(lines: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.flags"
    path.write_text(lines)
    with pytest.raises(LaunchError, match=sentence):
        read(path)


def test_an_unknown_configuration_lists_those_there_are() -> None:
    with pytest.raises(LaunchError, match=r"^nope: no such configuration; there are decoder_concurrency, .*smallest"):
        load("nope")


def test_an_export_with_bytes_that_are_no_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(
        b'{"experiments":[{"experiment":{"mode":"concurrency","value":2},"requests":['
        b'{"timestamp":5,"request_inputs":{"text":"Hi."},"response_timestamps":[9,7],'
        b'"response_outputs":[{"audio":"\xff\xfe\x80\x01\xd1\\u0000\x07"},{"audio":"\xc3"}]},'
        b'{"timestamp":6,"response_timestamps":[]}],"window_boundaries":[5,9]}],"version":"2.48.0"}'
    )
    assert read_export(path) == [Exchange(5, (7, 9))]


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"experiments":[{"requests":[{"timestamp":1}]}]}'])
def test_what_is_no_export_is_told(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LaunchError, match=r"export\.json: "):
        read_export(path)


def test_the_figures_run_to_the_first_response_and_between_them() -> None:
    exchanges = [Exchange(n * MS, tuple((n + wait) * MS for wait in (n, n + 10, n + 30))) for n in range(1, 102)]
    level = level_figures(exchanges, mode="concurrency", value=2)
    assert (level.requests, level.responses) == (101, 303)
    first = level.first_response_ms
    assert (first.p50, first.p90, first.p95, first.p99) == (51, 91, 96, 100)
    assert level.last_response_ms.p50 == 81
    assert (level.inter_response_ms.p50, level.inter_response_ms.p99) == (15, 20)
    assert level.wall_s == 0.231
    assert level.requests_per_s == pytest.approx(101 / 0.231, abs=0.001)


def test_one_response_has_nothing_between(tmp_path: Path) -> None:
    levels = [level_figures([Exchange(0, (4 * MS,))], mode="request_rate", value=value) for value in (0.5, 1.0)]
    assert levels[0].inter_response_ms.p50 is None
    assert "-         -" in table(levels)
    write_report(tmp_path, configuration(mode="request_rate"), "1.0", levels)
    told = json.loads((tmp_path / "figures.json").read_text())
    assert [level["value"] for level in told["levels"]] == [0.5, 1.0]
    assert told["levels"][0]["first_response_ms"] == {"p50": 4.0, "p90": 4.0, "p95": 4.0, "p99": 4.0}
    picture = ElementTree.parse(tmp_path / "figures.svg").getroot()  # noqa: S314  (our own)
    titles = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "some: first response, ms" in titles
    assert "some: between responses, ms" not in titles


def test_the_program_that_is_named_is_taken_or_refused(tmp_path: Path) -> None:
    runs = program(tmp_path, "echo version 9")
    assert find_analyzer(Home(tmp_path), {"PERF_ANALYZER": str(runs)}) == Analyzer(runs)
    program(tmp_path, "echo 'error while loading shared libraries: libb64.so.0d' >&2; exit 127")
    with pytest.raises(LaunchError, match=r"does not run on this machine \(error while loading shared libraries"):
        find_analyzer(Home(tmp_path), {"PERF_ANALYZER": str(runs)})
    with pytest.raises(LaunchError, match=r"none does not start \(No such file"):
        find_analyzer(Home(tmp_path), {"PERF_ANALYZER": str(tmp_path / "none")})


def test_the_one_on_the_path_is_taken_only_if_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = Analyzer(tmp_path / "wheels")
    monkeypatch.setattr(analyzers, "installed", lambda _home: wheels)
    assert find_analyzer(Home(tmp_path), {"PATH": str(tmp_path)}) is wheels
    found = program(tmp_path, "echo version 9")
    assert find_analyzer(Home(tmp_path), {"PATH": str(tmp_path)}) == Analyzer(found)
    program(tmp_path, "exit 127")
    assert find_analyzer(Home(tmp_path), {"PATH": str(tmp_path)}) is wheels


def test_an_installed_program_gets_its_libraries_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = tmp_path / "lib" / "python3.11" / "site-packages" / "nvidia_pytriton.libs"
    libraries.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin", 'echo "$LD_LIBRARY_PATH"')
    monkeypatch.setattr(analyzers, "server_environment", lambda *_: tmp_path)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    with pytest.raises(LaunchError, match=r"lacks libb64-\*\.so\.0d: remove the folder"):
        analyzers.installed(Home(tmp_path))
    (libraries / "libb64-98cb6333.so.0d").write_text("b64")
    (libraries / "libcudart-09529672.so.12.6.77").write_text("cudart")
    for _ in range(2):
        analyzer = analyzers.installed(Home(tmp_path))
    folder = Path(analyzer.version())
    assert {path.name for path in folder.iterdir()} == set(LIBRARIES)
    assert (folder / "libcudart.so.12").read_text() == "cudart"


def test_why_it_failed_is_told_without_its_manual(tmp_path: Path) -> None:
    lines = [
        "Usage: x [options]",
        "Failed to retrieve results.",
        "Thread [0] had error: full: no",
        "--verbose-csv: more",
    ]
    failing = Analyzer(program(tmp_path, f"printf '%s\\n' {' '.join(map(repr, lines))}; exit 99"))
    with pytest.raises(LaunchError) as told:
        failing.measure([], timeout_s=10)
    assert str(told.value) == (
        "perf_analyzer ended with status 99: Failed to retrieve results.; Thread [0] had error: full: no"
    )


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    hanging = Analyzer(program(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 600"))
    with pytest.raises(LaunchError, match="was not done after 1 s: give fewer --requests, or more time with --timeout"):
        hanging.measure([], timeout_s=1)
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """For a server that is taken to be ready, and a program that writes an export for whatever it is asked."""
    body = r"""
case $1 in --version) echo fake; exit;; esac
for word; do case $word in --concurrency-range=*) level=${word#*=};; esac; export=$word; done
test "$level" != 3 || exit 99
echo "level $level"
echo '{"experiments":[{"requests":[{"timestamp":0,"response_timestamps":['$level'000000]}]}]}' > "$export"
"""
    monkeypatch.setenv("PERF_ANALYZER", str(program(tmp_path, body)))
    monkeypatch.setattr(command, "require_ready", lambda *_: None)
    return read_arguments(["perf", "smallest", "--levels", "1", "2", "--out", str(tmp_path / "out")])


def test_every_level_is_measured_and_no_audio_is_kept(options: argparse.Namespace, tmp_path: Path) -> None:
    assert command.perf(options, Home(tmp_path)) == 0
    told = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert [(level["value"], level["first_response_ms"]["p99"]) for level in told["levels"]] == [(1.0, 1.0), (2.0, 2.0)]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "figures.json", "figures.svg", "figures.txt", "perf_analyzer.log"
    }  # fmt: skip
    assert (tmp_path / "out" / "perf_analyzer.log").read_text() == "level 1\nlevel 2\n"


def test_what_was_measured_stays_when_a_level_fails(options: argparse.Namespace, tmp_path: Path) -> None:
    options.levels = [1.0, 3.0]
    with pytest.raises(
        LaunchError, match=r"^smallest, 3 requests at once: perf_analyzer ended with status 99: it says"
    ):
        command.perf(options, Home(tmp_path))
    told = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert [level["value"] for level in told["levels"]] == [1.0]


def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(LaunchError, match=r"^no Triton answers at 127\.0\.0\.1:1 .*scripts/run.*--address"):
        command.require_ready("127.0.0.1:1", "orpheus_tts")
