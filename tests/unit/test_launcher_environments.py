"""Environments are made once, made again after a broken-off attempt, and refused with a sentence."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from launcher import commands, environments
from launcher.environments import SERVER_CPU, check_python, existing_server_environment, server_environment
from launcher.errors import LaunchError
from launcher.paths import SCRIPTS, Home, make_folder
from launcher.server_environment import OVERRIDE, ServerEnvironment

pytestmark = pytest.mark.unit


class FakeSteps:
    """Stands for uv and pip: makes the interpreter of an environment, fails on demand."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.fail_on: str | None = None

    def run(self, title: str, command: Sequence[str | Path], *, writes_to: Path) -> None:
        self.titles.append(title)
        if title == self.fail_on:
            raise LaunchError(f"{title} failed")
        if "venv" in map(str, command):
            (writes_to / "bin").mkdir(parents=True, exist_ok=True)
            (writes_to / "bin" / "python").touch()

    def attempt(self, title: str, command: Sequence[str | Path]) -> bool:
        self.titles.append(title)
        return True


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> FakeSteps:
    fake = FakeSteps()
    monkeypatch.setattr(environments, "run_step", fake.run)
    monkeypatch.setattr(environments, "try_step", fake.attempt)
    monkeypatch.setattr(environments, "require_free_bytes", lambda *_: None)
    return fake


def test_an_environment_is_made_once(steps: FakeSteps, tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = server_environment(home, SERVER_CPU, {})
    assert f"torch {SERVER_CPU.torch} from pip's index" in steps.titles
    assert steps.titles[-1] == "packages of server-cpu.txt"
    made = len(steps.titles)
    assert server_environment(home, SERVER_CPU, {}) == first == existing_server_environment(home, SERVER_CPU, {})
    assert len(steps.titles) == made


def test_a_broken_off_attempt_does_not_count(steps: FakeSteps, tmp_path: Path) -> None:
    home = Home(tmp_path)
    steps.fail_on = "packages of server-cpu.txt"
    with pytest.raises(LaunchError):
        server_environment(home, SERVER_CPU, {})
    assert existing_server_environment(home, SERVER_CPU, {}) is None
    steps.fail_on = None
    assert server_environment(home, SERVER_CPU, {}) == existing_server_environment(home, SERVER_CPU, {})


def test_a_given_environment_is_used_as_it_is(steps: FakeSteps, tmp_path: Path) -> None:
    assert server_environment(Home(tmp_path), SERVER_CPU, {OVERRIDE: "/somewhere"}) == Path("/somewhere")
    assert steps.titles == []


def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "free_bytes", lambda _folder: 10**9)
    with pytest.raises(LaunchError, match=r"server-cpu needs 4.0 GB on the disk of .*, 1.0 GB are free: .*--home"):
        server_environment(Home(tmp_path), SERVER_CPU, {})
    assert not list((tmp_path / "envs").glob("*/bin"))


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LaunchError, match=r"cannot be written .*--home"):
        make_folder(tmp_path / "file" / "home")


def test_another_python_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    check_python()
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    with pytest.raises(LaunchError, match=r"Python 3\.13 cannot be used: .* Install Python 3\.11"):
        check_python()


def test_another_machine_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(LaunchError, match=r"this machine is aarch64: .* x86_64 only"):
        check_python()


def test_an_old_c_library_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "confstr", lambda _name: "glibc 2.31")
    with pytest.raises(LaunchError, match=r"glibc 2\.31: .* needs glibc 2\.35"):
        check_python()


@pytest.mark.parametrize("found", ["3.13", None])
def test_without_a_fit_python_every_command_ends_with_a_sentence(found: str | None, tmp_path: Path) -> None:
    python = tmp_path / "python3"
    if found:
        python.write_text(f"#!/bin/sh\necho {found}\n")
        python.chmod(0o755)
    for command in ("run", "test", "check", "render_repository", "perf"):
        variables = {**os.environ, "ORPHEUS_PYTHON": str(python)}
        ended = subprocess.run(
            [SCRIPTS / command], env=variables, capture_output=True, text=True, check=False, timeout=30
        )
        assert ended.returncode == 1
        assert "Python 3.11 or 3.12 is needed" in ended.stderr
        assert f"found: {found or 'none'}" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_a_folder_without_triton_is_no_server_environment(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="is no Python environment: run scripts/run"):
        ServerEnvironment.at(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    with pytest.raises(LaunchError, match="lacks Triton"):
        ServerEnvironment.at(tmp_path)
