"""scripts/test and scripts/check."""

import argparse
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

from launcher.arguments import TEST_GROUPS
from launcher.commands import say
from launcher.environments import SERVER_CPU, server_environment
from launcher.errors import LaunchError
from launcher.paths import CHECKOUT, DEV_ENVIRONMENT, MODEL_SOURCES, SCRIPTS, Home
from launcher.render import parse_config
from launcher.server_environment import OVERRIDE, ServerEnvironment

SERVER_GROUP = "server"
"""Runs in the server's environment; all other groups run in the one of client and tests."""

NO_TESTS_COLLECTED = 5
SOURCE_ROOTS = ("client", "bridge", "model_repository/orpheus_tts/1", "scripts", "tests")


def test(options: argparse.Namespace, home: Home) -> int:
    """Runs the chosen groups, or all; the exit status is 0 only if all passed."""
    groups = options.groups or list(TEST_GROUPS)
    if unknown := [group for group in groups if group not in TEST_GROUPS]:
        raise LaunchError(f"{unknown[0]}: no such group of tests; there are {', '.join(TEST_GROUPS)}")
    environment = ServerEnvironment.at(server_environment(home, SERVER_CPU, os.environ))
    variables = {"ORPHEUS_HOME": str(home.root), OVERRIDE: str(environment.root)}
    arguments = shlex.split(options.pytest)
    results = []
    if others := [group for group in groups if group != SERVER_GROUP]:
        python = DEV_ENVIRONMENT / "bin" / "python"
        ignored = f"--ignore={CHECKOUT / 'tests' / SERVER_GROUP}"
        results.append(_pytest(python, [ignored, *arguments], others, home, {**os.environ, **variables}))
    if SERVER_GROUP in groups:
        folder = str(CHECKOUT / "tests" / SERVER_GROUP)
        search_path = os.pathsep.join((str(SCRIPTS), str(MODEL_SOURCES / "orpheus_tts" / "1")))
        server_variables = {**environment.variables(os.environ), **variables, "PYTHONPATH": search_path}
        results.append(_pytest(environment.python, [folder, *arguments], [SERVER_GROUP], home, server_variables))
    passed, failed, skipped = (sum(column) for column in zip(*(counts for _, counts in results), strict=True))
    say(f"Tests: {passed} passed, {failed} failed, {skipped} skipped")
    return next((status for status, _ in results if status), 0)


def check(_options: argparse.Namespace, _home: Home) -> int:
    """Runs every check, changes nothing; the exit status is 0 only if all are content."""
    programs = DEV_ENVIRONMENT / "bin"
    roots = [root for root in SOURCE_ROOTS if any((CHECKOUT / root).rglob("*.py"))]
    commands = (("ruff", "format", "--check", "."), ("ruff", "check", "."), ("mypy", *roots), ("lint-imports",))
    failed = [" ".join(command[:2]) for command in commands if _fails(programs, command)]
    for config in sorted(MODEL_SOURCES.glob("*/config.pbtxt")):
        parse_config(config)
    say(f"Failed: {', '.join(failed)}" if failed else "All checks passed")
    return 1 if failed else 0


def _fails(programs: Path, command: Sequence[str]) -> bool:
    say(f"$ {' '.join(command)}")
    return subprocess.run([str(programs / command[0]), *command[1:]], cwd=CHECKOUT, check=False).returncode != 0


def _pytest(
    python: Path, arguments: Sequence[str], groups: Sequence[str], home: Home, variables: Mapping[str, str]
) -> tuple[int, tuple[int, int, int]]:
    """Exit status, and how many tests passed, failed, were skipped."""
    home.make()
    report = home.logs / f"tests-{os.getpid()}.xml"
    command: list[str | Path] = [python, "-m", "pytest", "-m", " or ".join(groups), f"--junit-xml={report}", *arguments]
    try:
        status = subprocess.run(command, cwd=CHECKOUT, env=variables, check=False).returncode
        counts = _counts(report) if report.exists() else (0, 0, 0)
    finally:
        report.unlink(missing_ok=True)
    return (0 if status == NO_TESTS_COLLECTED else status), counts


def _counts(report: Path) -> tuple[int, int, int]:
    suite = cast("ElementTree.Element", ElementTree.parse(report).getroot().find("testsuite"))  # noqa: S314  (our own)
    total, errors, failures, skipped = (
        int(suite.get(name, "0")) for name in ("tests", "errors", "failures", "skipped")
    )
    failed = errors + failures
    return total - failed - skipped, failed, skipped
