"""Debian's packages: installed by root, named to everybody else."""

import argparse
import os
from pathlib import Path

import pytest

from launcher import quality
from launcher.debian import require_packages
from launcher.errors import LaunchError
from launcher.paths import Home
from launcher.server_environment import ServerEnvironment

pytestmark = pytest.mark.unit

PACKAGE = "some-package"
COMMAND = f"apt-get install --yes --no-install-recommends {PACKAGE}"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears when root's `apt-get` installs something; `update` has to be done before."""
    program, witness = tmp_path / "apt-get", tmp_path / "installed"
    program.write_text(
        f'#!/bin/sh\ncd "{tmp_path}"\necho "$@" >> asked\n'
        "case $1 in update) /usr/bin/touch updated ;; install) [ -e updated ] && /usr/bin/touch installed ;; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return witness


def require(witness: Path) -> None:
    require_packages(lambda: [] if witness.exists() else [PACKAGE], lack="it lacks something")


def test_root_installs_what_is_missing_with_the_lists_renewed_if_need_be(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require(installed)
    options = COMMAND.removeprefix("apt-get ")
    assert installed.with_name("asked").read_text().splitlines() == [options, "update", options]
    assert capsys.readouterr().out == f"it lacks something: installing {PACKAGE}\n"
    require(installed)
    assert len(installed.with_name("asked").read_text().splitlines()) == 3


def test_nobody_else_does(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LaunchError, match=f"^it lacks something; as root: {COMMAND}$"):
        require(installed)
    assert not installed.with_name("asked").exists()


def test_on_another_system_the_command_is_named(installed: Path) -> None:
    installed.with_name("apt-get").unlink()
    with pytest.raises(LaunchError, match=f"as root: {COMMAND}$"):
        require(installed)


def test_an_installation_that_fails_is_told(installed: Path) -> None:
    installed.with_name("apt-get").write_text("#!/bin/sh\nexit 100\n")
    with pytest.raises(LaunchError, match=f"^{COMMAND} did not help"):
        require(installed)


@pytest.mark.parametrize(("groups", "wants"), [(["e2e", "unit"], True), (["unit", "livekit"], False)])
def test_the_programs_of_the_tests_are_asked_for_with_their_group(
    groups: list[str],
    *,
    wants: bool,
    installed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(quality, "_pytest", lambda *_: (0, (1, 0, 0)))
    monkeypatch.setattr(quality, "server_environment", lambda *_: tmp_path)
    monkeypatch.setattr(ServerEnvironment, "at", lambda root: argparse.Namespace(root=root))
    options = argparse.Namespace(groups=groups, pytest="")
    assert quality.test(options, Home(tmp_path)) == 0
    asked = installed.with_name("asked")
    assert asked.exists() == wants
    assert not wants or "install --yes --no-install-recommends apache2-utils" in asked.read_text()
    # Nothing was installed by the stand-in, so the tests go on without, and it is said why.
    assert ("Some tests will be skipped: apt-get install" in capsys.readouterr().out) == wants
