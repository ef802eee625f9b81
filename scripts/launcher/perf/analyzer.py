"""perf_analyzer itself: found or installed, and run."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.commands import say
from launcher.environments import PERF_ANALYZER, server_environment
from launcher.errors import LaunchError
from launcher.paths import CHECKOUT, Home

VARIABLE = "PERF_ANALYZER"
"""Environment variable: the program to use."""

PROGRAM = "perf_analyzer"
VERSION_TIMEOUT_S = 30.0
TELLING = ("error", "failed", "thread [")
"""How the lines begin that say why it failed; it also prints its whole manual."""

SHOWN_LINES = 5
LIBRARIES: Mapping[str, str] = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}
"""What the wheel's program is linked with, and what those files are called in the Triton wheel."""


@dataclass(frozen=True, slots=True)
class Analyzer:
    """A program that runs on this machine."""

    program: Path
    library_folder: Path | None = None
    """Libraries that it needs besides the machine's own."""

    def version(self) -> str:
        """
        Raises:
            LaunchError: it does not run.
        """
        status, output = self._run(["--version"], timeout_s=VERSION_TIMEOUT_S)
        if status != 0:
            raise LaunchError(f"{self.program} does not run on this machine ({_reason(output)})")
        return output.strip()

    def measure(self, flags: Sequence[str], *, timeout_s: float) -> str:
        """Runs it in the checkout, where the flags' relative paths begin; returns what it printed.

        Raises:
            LaunchError: it failed, or was at it for longer than `timeout_s`.
        """
        status, output = self._run(flags, timeout_s=timeout_s)
        if status != 0:
            raise LaunchError(f"{PROGRAM} ended with status {status}: {_reason(output)}")
        return output

    def _run(self, flags: Sequence[str], *, timeout_s: float) -> tuple[int, str]:
        try:
            ended = subprocess.run(
                [self.program, *flags],
                cwd=CHECKOUT,
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except OSError as error:
            raise LaunchError(f"{self.program} does not start ({error.strerror})") from None
        except subprocess.TimeoutExpired:
            raise LaunchError(
                f"{PROGRAM} was not done after {timeout_s:.0f} s: give fewer --requests, or more time with --timeout"
            ) from None
        return ended.returncode, ended.stdout

    def _variables(self) -> dict[str, str]:
        if self.library_folder is None:
            return dict(os.environ)
        inherited = os.environ.get("LD_LIBRARY_PATH")
        folders = [str(self.library_folder), *([inherited] if inherited else [])]
        return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(folders)}


def find_analyzer(home: Home, environ: Mapping[str, str]) -> Analyzer:
    """The program that `$PERF_ANALYZER` names, else the one on PATH if it runs here, else the wheel's, installed into
    the data home.

    Raises:
        LaunchError: none can be had.
    """
    if given := environ.get(VARIABLE):
        analyzer = Analyzer(Path(given))
        analyzer.version()
        return analyzer
    if found := shutil.which(PROGRAM, path=environ.get("PATH")):
        try:
            analyzer = Analyzer(Path(found))
            analyzer.version()
        except LaunchError as error:
            # Newer ones are built for a newer C library.
            say(f"{error}: taking the wheel's")
        else:
            return analyzer
    return installed(home)


def installed(home: Home) -> Analyzer:
    """The wheel's, made ready if need be.

    Raises:
        LaunchError: it cannot be installed, or does not run.
    """
    root = server_environment(home, PERF_ANALYZER, {})
    analyzer = Analyzer(root / "bin" / PROGRAM, _lay_libraries(root))
    analyzer.version()
    return analyzer


def _lay_libraries(root: Path) -> Path:
    """Links under the names that the program asks for."""
    folder = root / "lib" / PROGRAM
    folder.mkdir(exist_ok=True)
    for name, pattern in LIBRARIES.items():
        found = next(root.glob(f"lib/python*/site-packages/nvidia_pytriton.libs/{pattern}"), None)
        if found is None:
            raise LaunchError(f"{root} lacks {pattern}: remove the folder and start again")
        link = folder / name
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(found, folder))
    return folder


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if line.lower().startswith(TELLING)]
    return "; ".join(dict.fromkeys(telling[:SHOWN_LINES] or lines[-SHOWN_LINES:])) or "it says nothing"
