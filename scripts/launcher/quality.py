"""scripts/test and scripts/check."""

import argparse
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

from launcher.arguments import TEST_GROUPS
from launcher.commands import say
from launcher.debian import require_packages
from launcher.environments import SERVER_CPU, SERVER_CPU_024, server_environment
from launcher.errors import LaunchError
from launcher.paths import CHECKOUT, DEV_ENVIRONMENT, LOCAL_BACKENDS, MODEL_SOURCES, SCRIPTS, Home
from launcher.render import parse_config
from launcher.server_environment import OVERRIDE, ServerEnvironment

SERVER_GROUP = "server"
"""Runs in the server's environment; all other groups run in the one of client and tests."""

SERVERLESS_GROUPS = frozenset(("unit", "postgres", "livekit"))
"""Need no environment of the server, so none is made for them."""

VLLM_TESTS = "test_vllm_*.py"
"""Of the server's group, those that run on the older vLLM too."""

PROGRAMS_GROUP = "e2e"
PROGRAMS = {"ab": "apache2-utils"}
"""What that group runs besides our own, and the Debian package that has it. Its tests are skipped without."""

NO_TESTS_COLLECTED = 5
Result = tuple[int, tuple[int, int, int]]
"""Exit status, and how many tests passed, failed, were skipped."""

SOURCE_ROOTS = ("client", "bridge", "model_repository/orpheus_tts/1", "scripts", "tests")


def test(options: argparse.Namespace, home: Home) -> int:
    """Runs the chosen groups, or all; the exit status is 0 only if all passed."""
    groups = options.groups or list(TEST_GROUPS)
    if unknown := [group for group in groups if group not in TEST_GROUPS]:
        raise LaunchError(f"{unknown[0]}: no such group of tests; there are {', '.join(TEST_GROUPS)}")
    arguments = shlex.split(options.pytest)
    variables = {"ORPHEUS_HOME": str(home.root)}
    results: list[Result] = []
    if PROGRAMS_GROUP in groups:
        _complete_programs()
    if not SERVERLESS_GROUPS.issuperset(groups):
        environment = ServerEnvironment.at(server_environment(home, SERVER_CPU, os.environ))
        variables[OVERRIDE] = str(environment.root)
    if others := [group for group in groups if group != SERVER_GROUP]:
        python = DEV_ENVIRONMENT / "bin" / "python"
        ignored = f"--ignore={CHECKOUT / 'tests' / SERVER_GROUP}"
        results.append(_pytest(python, [ignored, *arguments], others, home, {**os.environ, **variables}))
    if SERVER_GROUP in groups:
        folder = CHECKOUT / "tests" / SERVER_GROUP
        results.append(_server_tests(environment, [folder], arguments, home, variables))
        if OVERRIDE not in os.environ:
            older = ServerEnvironment.at(server_environment(home, SERVER_CPU_024, os.environ))
            results.append(_server_tests(older, sorted(folder.glob(VLLM_TESTS)), arguments, home, variables))
    passed, failed, skipped = (sum(column) for column in zip(*(counts for _, counts in results), strict=True))
    say(f"Tests: {passed} passed, {failed} failed, {skipped} skipped")
    return next((status for status, _ in results if status), 0)


def missing_programs() -> list[str]:
    """Debian's packages of the programs that are not there."""
    return [package for program, package in PROGRAMS.items() if shutil.which(program) is None]


def _complete_programs() -> None:
    try:
        require_packages(missing_programs, lack=f"tests run {', '.join(PROGRAMS)}, which is not installed")
    except LaunchError as error:
        say(f"Some tests will be skipped: {error}")


def _server_tests(
    environment: ServerEnvironment,
    paths: Sequence[Path],
    arguments: Sequence[str],
    home: Home,
    variables: Mapping[str, str],
) -> Result:
    """As `_pytest`, in an environment of the server."""
    roots = (SCRIPTS, LOCAL_BACKENDS / "vllm", MODEL_SOURCES / "orpheus_tts" / "1")
    search_path = {"PYTHONPATH": os.pathsep.join(map(str, roots))}
    merged = {**environment.variables(os.environ), **variables, **search_path}
    return _pytest(environment.python, [*map(str, paths), *arguments], [SERVER_GROUP], home, merged)


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
) -> Result:
    """One run of pytest; a run that ended before its report counts nothing, but has a status."""
    home.make()
    report = home.logs / f"tests-{os.getpid()}.xml"
    command: list[str | Path] = [python, "-m", "pytest", "-m", " or ".join(groups), f"--junit-xml={report}", *arguments]
    try:
        status = subprocess.run(command, cwd=CHECKOUT, env=variables, check=False).returncode
        counts = _counts(report)
    finally:
        report.unlink(missing_ok=True)
    return (0 if status == NO_TESTS_COLLECTED else status), counts


def _counts(report: Path) -> tuple[int, int, int]:
    try:
        suite = cast("ElementTree.Element", ElementTree.parse(report).getroot().find("testsuite"))  # noqa: S314  (our own)
    except (OSError, ElementTree.ParseError):
        return 0, 0, 0
    total, errors, failures, skipped = (
        int(suite.get(name, "0")) for name in ("tests", "errors", "failures", "skipped")
    )
    failed = errors + failures
    return total - failed - skipped, failed, skipped
