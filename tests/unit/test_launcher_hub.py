"""Models of the hub: what a profile names, what is here already, what is asked for."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

from launcher.arguments import read_arguments
from launcher.errors import LaunchError
from launcher.fetch import further_models
from launcher.hub import RELEASED_BY_LANGUAGE, Hub, HubModel, hub_models, profile_lines
from launcher.paths import Home
from launcher.profile import CheckpointChoice, Codec, Profile, load, parse
from orpheus_core.voices import RELEASED

pytestmark = pytest.mark.unit

MODEL = HubModel("somebody/model", "v1")

FETCHER = """
import json, sys
from pathlib import Path
_, _, _, records, *names = sys.argv
Path(records, "log").open("a").write(" ".join(names) + "\\n")
for name in names:
    repository, _, revision = name.partition("@")
    if repository.startswith("closed/"):
        sys.exit(1)
    folder = Path(records).parent / repository.replace("/", "-")
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    record = {"repository": repository, "revision": revision, "folder": str(folder), "sizes_bytes": {"config.json": 2}}
    Path(records, repository.replace("/", "--") + ".json").write_text(json.dumps(record))
"""
"""In the place of the server's Python: takes the same arguments, fetches nothing."""


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    home = Home(tmp_path)
    home.make()
    python = tmp_path / "python"
    program = tmp_path / "fetcher.py"
    program.write_text(FETCHER)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
    python.chmod(0o755)
    return Hub(home, python, {"PATH": "/usr/bin:/bin"})


def asked(hub: Hub) -> list[str]:
    log = hub.home.models / "hub" / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_what_was_fetched_once_is_found_without_asking(hub: Hub) -> None:
    hub.fetch_missing([MODEL, HubModel("somebody/codec")])
    assert asked(hub) == ["somebody/model@v1 somebody/codec@main"]
    hub.fetch_missing([MODEL])
    assert hub.folder(MODEL) == hub.home.models / "somebody-model"
    assert len(asked(hub)) == 1
    hub.fetch_missing([HubModel("somebody/model", "v2")])
    assert asked(hub)[1:] == ["somebody/model@v2"]


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_folder_that_is_not_whole_any_more_is_fetched_again(damage: str, hub: Hub) -> None:
    hub.fetch_missing([MODEL])
    file = hub.folder(MODEL) / "config.json"
    file.unlink() if damage == "gone" else file.write_text("")
    with pytest.raises(LaunchError, match="somebody/model@v1 was fetched, but is not whole"):
        hub.folder(MODEL)
    hub.fetch_missing([MODEL])
    assert len(asked(hub)) == 2
    assert json.loads((hub.folder(MODEL) / "config.json").read_text()) == {}


def test_a_failure_is_told_once_the_reason_stands_there(hub: Hub) -> None:
    with pytest.raises(LaunchError, match="not everything could be fetched; the reason stands above"):
        hub.fetch_missing([HubModel("closed/model")])


def test_a_profile_names_its_checkpoints_and_its_codec_once() -> None:
    profile = load("gpu-24gb").profile
    assert hub_models(profile, []) == [
        HubModel("canopylabs/orpheus-3b-0.1-ft"), HubModel("hubertsiuzdak/snac_24khz"),
    ]  # fmt: skip
    pinned = Profile(
        description="", codec=Codec(source="a/codec", revision="c1"),
        checkpoints=(
            CheckpointChoice(name="x", source="a/b", revision="b1"),
            CheckpointChoice(name="y", source="tiny"),
        ),
    )  # fmt: skip
    assert hub_models(pinned, ["tiny"]) == [HubModel("a/b", "b1"), HubModel("a/codec", "c1")]


def test_further_languages_are_the_released_checkpoints_that_the_profile_lacks() -> None:
    profile = load("gpu-24gb").profile
    german = HubModel("canopylabs/3b-de-ft-research_release")
    romance = HubModel("canopylabs/3b-es_it-ft-research_release")
    assert further_models(profile, ["en", "de", "es", "it"]) == [german, romance]
    with pytest.raises(LaunchError, match="--language: 'nl': there is a checkpoint for en, fr, de"):
        further_models(profile, ["nl"])


@pytest.mark.parametrize("language", sorted(RELEASED_BY_LANGUAGE))
def test_the_lines_that_serve_a_language_are_a_profile(language: str) -> None:
    lines = profile_lines(HubModel(RELEASED_BY_LANGUAGE[language]))
    (choice,) = parse({"description": "x", **tomllib.loads(lines)}).checkpoints
    assert language in choice.languages
    assert all(spoken in RELEASED for spoken in choice.languages)


def test_the_command_takes_languages() -> None:
    options = read_arguments(["fetch", "--profile", "h100", "--language", "de", "--language", "fr"])
    assert (options.command, options.profile, options.language) == ("fetch", "h100", ["de", "fr"])
    assert read_arguments(["fetch"]).language == []
