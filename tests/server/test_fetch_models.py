"""Downloads from a stand-in for the hub: whole, checked, resumed, refused with a sentence."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fetch_models import wanted
from launcher.paths import SCRIPTS
from server.hub_server import COMMIT, FakeHub, serving, sha256

pytestmark = pytest.mark.server

REPOSITORY = "somebody/small-model"
WEIGHTS = bytes(range(256)) * 4000
FILES = {
    "config.json": b'{"vocab_size": 7}',
    "tokenizer.json": b'{"model": {}}' * 100,
    "model.safetensors": WEIGHTS,
    "optimizer.pt": b"x" * 5000,
    "checkpoint-9/config.json": b"{}",
    "README.md": b"words",
}
SERVED = {"config.json", "tokenizer.json", "model.safetensors"}
TIMEOUT_S = 120.0


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub(REPOSITORY, dict(FILES))) as hub:
        yield hub


def fetch(
    hub: FakeHub, folder: Path, *names: str, token: str = "", before: str = ""
) -> "subprocess.CompletedProcess[str]":
    """The command as the launcher runs it, in a cache of its own."""
    given = {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "cache"), "HF_TOKEN": token, "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    command = [sys.executable, "-c", before + RUN, *(names or (REPOSITORY,)), "--records", str(folder / "records")]
    return subprocess.run(
        command, env={**kept, **given}, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )


RUN = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import fetch_models; sys.exit(fetch_models.main())"
SMALL_BLOCKS = "from huggingface_hub import constants; constants.DOWNLOAD_CHUNK_SIZE = 65536; "
"""The library writes what came in blocks of 10 MB."""

FULL_DISK = """
import shutil
from types import SimpleNamespace
shutil.disk_usage = lambda folder: SimpleNamespace(free=1000)
"""


def record(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "records").iterdir()
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def test_what_is_served_comes_whole_with_its_commit_written_down(hub: FakeHub, tmp_path: Path) -> None:
    done = fetch(hub, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    written = record(tmp_path)
    assert (written["repository"], written["revision"], written["commit"]) == (REPOSITORY, "main", COMMIT)
    folder = Path(written["folder"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {name: FILES[name] for name in SERVED}
    assert written["sizes_bytes"] == {name: len(FILES[name]) for name in SERVED}
    assert written["digests"]["model.safetensors"] == sha256(WEIGHTS)
    total_mb = sum(len(FILES[name]) for name in SERVED) / 1e6
    assert f"{total_mb:.1f} MB in 3 files, {total_mb:.1f} MB of it to be fetched" in done.stdout.splitlines()[0]
    assert done.stdout.index("3 files") < done.stdout.index("3/3 tokenizer.json")


def test_a_second_time_nothing_is_fetched(hub: FakeHub, tmp_path: Path) -> None:
    fetch(hub, tmp_path)
    hub.ranges.clear()
    done = fetch(hub, tmp_path)
    assert done.returncode == 0
    assert " 0.0 MB of it to be fetched" in done.stdout
    assert hub.ranges == []


def test_a_broken_off_download_goes_on_where_it_was(hub: FakeHub, tmp_path: Path) -> None:
    hub.breaks_after_bytes = 300_000
    broken = fetch(hub, tmp_path, before=SMALL_BLOCKS)
    assert broken.returncode == 1
    assert "start again to go on" in broken.stderr.lower()
    assert not (tmp_path / "records").exists()
    (part,) = (tmp_path / "cache").rglob("*.part")
    assert 0 < part.stat().st_size <= 300_000
    begun_bytes = part.stat().st_size
    hub.breaks_after_bytes = hub.refuses = None
    hub.ranges.clear()
    assert fetch(hub, tmp_path).returncode == 0
    assert f"bytes={begun_bytes}-" in hub.ranges
    assert (Path(record(tmp_path)["folder"]) / "model.safetensors").read_bytes() == WEIGHTS
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_wrong_checksum_is_told_and_the_file_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.wrong_answers = 1
    done = fetch(hub, tmp_path)
    assert done.returncode == 0
    assert f"model.safetensors: its checksum is {sha256(bytes([1]) + WEIGHTS[1:])}" in done.stdout
    assert (Path(record(tmp_path)["folder"]) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_file_that_never_comes_right_is_not_kept(hub: FakeHub, tmp_path: Path) -> None:
    hub.wrong_answers = 10
    done = fetch(hub, tmp_path)
    assert done.returncode == 1
    assert "model.safetensors came with another checksum than the hub's, 2 times" in done.stderr
    assert not (tmp_path / "records").exists()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size > 10_000]


def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    fetch(hub, tmp_path)
    weights = Path(record(tmp_path)["folder"]) / "model.safetensors"
    weights.resolve().write_bytes(WEIGHTS[:-1] + b"?")
    assert fetch(hub, tmp_path).returncode == 0
    assert weights.read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("refuses", "token", "sentence"),
    [
        ((401, "GatedRepo"), "", "is gated: accept its licence on the hub, then set HF_TOKEN"),
        ((403, "GatedRepo"), "hf_mine", "is closed to the account of HF_TOKEN: accept its licence on http"),
        ((401, "RepoNotFound"), "hf_mine", "is not on the hub, or HF_TOKEN may not see it"),
        ((403, ""), "hf_mine", "the hub does not take HF_TOKEN (status 403)"),
        ((500, ""), "", "cannot be fetched"),
    ],
)
def test_a_refusal_is_one_sentence(
    refuses: tuple[int, str], token: str, sentence: str, hub: FakeHub, tmp_path: Path
) -> None:
    hub.refuses = refuses
    done = fetch(hub, tmp_path, token=token)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {REPOSITORY}")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hf_mine" not in done.stderr + done.stdout


def test_the_token_is_sent(hub: FakeHub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path, token="hf_mine").returncode == 0  # noqa: S106  (made up)
    assert hub.tokens == {"Bearer hf_mine"}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("somebody/else", "somebody/else is not on the hub"),
        (f"{REPOSITORY}@v9", f"{REPOSITORY} has no revision v9"),
        ("two words/x", "two words/x: no name that the hub can have"),
    ],
)
def test_what_is_not_there_is_named(name: str, sentence: str, hub: FakeHub, tmp_path: Path) -> None:
    done = fetch(hub, tmp_path, name)
    assert done.returncode == 1
    assert sentence in done.stderr


def test_a_full_disk_is_told_before_anything_is_fetched(hub: FakeHub, tmp_path: Path) -> None:
    done = fetch(hub, tmp_path, before=FULL_DISK)
    assert done.returncode == 1
    assert "free some space, or name another folder in HF_HOME" in done.stderr
    assert hub.ranges == []


def test_without_the_hub_what_is_in_the_cache_is_taken(hub: FakeHub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path, f"{REPOSITORY}@{COMMIT}").returncode == 0
    before = record(tmp_path)["folder"]
    (next((tmp_path / "records").iterdir())).unlink()
    nobody = FakeHub(REPOSITORY, {}, url="http://127.0.0.1:9")
    done = fetch(nobody, tmp_path, f"{REPOSITORY}@{COMMIT}")
    assert (done.returncode, done.stderr) == (0, "")
    assert record(tmp_path)["folder"] == before
    assert fetch(nobody, tmp_path, "somebody/else").stderr.startswith("error: somebody/else cannot be fetched")


def test_old_weights_are_taken_only_where_there_are_no_others() -> None:
    assert wanted(["pytorch_model.bin", "config.json"]) == ["config.json", "pytorch_model.bin"]
    assert wanted(["pytorch_model.bin", "a.safetensors", "x/b.safetensors", "optimizer.bin"]) == ["a.safetensors"]
