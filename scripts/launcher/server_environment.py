"""The Python environment that Triton runs with: its own files, the stub's Python, vLLM and ONNX Runtime."""

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import LaunchError

OVERRIDE = "ORPHEUS_SERVER_ENV"
"""Environment variable: the root of a server environment to use as it is."""

ASK_TIMEOUT_S = 60.0

PYTHON_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class ServerEnvironment:
    """An installed environment, by its root folder."""

    root: Path
    python_version: str
    """Major and minor, such as `3.11`."""
    library_folder: Path
    """Holds the shared libpython that the stub is linked with."""

    @classmethod
    def at(cls, root: Path) -> "ServerEnvironment":
        """Looks the environment over.

        Raises:
            LaunchError: there is none, it lacks Triton, or its Python has no shared library.
        """
        python = root / "bin" / "python"
        if not python.exists():
            raise LaunchError(f"{root} is no Python environment: run scripts/run, which makes the server's")
        version, folder, library = _ask(python)
        found = cls(root, version, Path(folder))
        if not found.tritonserver.exists():
            raise LaunchError(f"{root} lacks Triton ({found.tritonserver}): remove the folder and run scripts/run")
        if not (found.library_folder / library).exists():
            raise LaunchError(missing_library(version, library))
        return found

    @property
    def python(self) -> Path:
        return self.root / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        return self.root / "lib" / f"python{self.python_version}" / "site-packages"

    @property
    def tritonserver(self) -> Path:
        return self._triton / "bin" / "tritonserver"

    @property
    def python_backend_files(self) -> tuple[Path, ...]:
        """What the python backend's folder must hold: its library, its Python module, this Python's stub."""
        backend = self._triton / "backends" / "python"
        stubs = self._triton / "python_backend_stubs" / self.python_version
        return (
            backend / "libtriton_python.so",
            backend / "triton_python_backend_utils.py",
            stubs / "triton_python_backend_stub",
        )

    def variables(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The environment variables for Triton.

        The stub finds this environment as `python3` on PATH. The embedded interpreter's own locale is ASCII, on which
        torch fails reading its files.
        """
        kept = {name: value for name, value in inherited.items() if name not in PYTHON_VARIABLES}
        libraries = [self.site_packages / "nvidia_pytriton.libs", self.library_folder]
        return {
            **kept,
            "PATH": _joined(self.root / "bin", kept.get("PATH")),
            "LD_LIBRARY_PATH": _joined(*libraries, kept.get("LD_LIBRARY_PATH")),
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def _triton(self) -> Path:
        return self.site_packages / "pytriton" / "tritonserver"


def missing_library(version: str, library: str) -> str:
    """The sentence for a Python without its shared library."""
    return (
        f"Python {version} on this {platform.system()} lacks {library}, which Triton's Python models are linked with: "
        f"apt-get install libpython{version}"
    )


def _ask(python: Path) -> tuple[str, str, str]:
    program = (
        "import sys, sysconfig; print('%d.%d' % sys.version_info[:2]); "
        "print(sysconfig.get_config_var('LIBDIR')); print(sysconfig.get_config_var('INSTSONAME'))"
    )
    command: list[str | Path] = [python, "-I", "-c", program]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ASK_TIMEOUT_S)
    except (subprocess.TimeoutExpired, OSError) as error:
        raise LaunchError(f"{python} does not run ({error}): remove {python.parent.parent}") from None
    if answer.returncode != 0:
        raise LaunchError(f"{python} does not run ({answer.stderr.strip()[-200:]}): remove {python.parent.parent}")
    version, folder, library = answer.stdout.splitlines()
    return version, folder, library


def _joined(*parts: Path | str | None) -> str:
    return os.pathsep.join(str(part) for part in parts if part)
