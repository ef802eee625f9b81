"""The first steps of every command, with nothing but the standard library: a fit Python, then the environment of
client and tests, then the command itself in it."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn

from launcher.arguments import home_of, read_arguments
from launcher.debian import require_packages
from launcher.environments import check_python, dev_environment
from launcher.errors import LaunchError, sentences
from launcher.server_environment import missing_library


def main(arguments: list[str]) -> NoReturn:
    """Prepares, then becomes `python -m launcher` with these arguments."""
    options = read_arguments(arguments)
    with sentences():
        check_python()
        _complete_python()
        python = str(dev_environment(home_of(options)) / "bin" / "python")
        os.execve(python, [python, "-m", "launcher", *arguments], _without_search_path())  # noqa: S606


def _without_search_path() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _complete_python() -> None:
    """Debian's and Ubuntu's Python come in pieces; two of them are needed.

    Raises:
        LaunchError: they are missing, and this user may not install them.
    """
    require_packages(_missing_packages, lack=f"{sys.executable} lacks parts of Python")


def _missing_packages() -> list[str]:
    version = "{}.{}".format(*sys.version_info[:2])
    missing = [] if _has_venv() else [f"python{version}-venv"]
    library = str(sysconfig.get_config_var("INSTSONAME"))
    if not library.startswith(f"libpython{version}.so"):
        raise LaunchError(f"{sys.executable} was built without a shared library: {missing_library(version, library)}")
    folder = Path(str(sysconfig.get_config_var("LIBDIR")))
    return missing if (folder / library).exists() else [*missing, f"libpython{version}"]


def _has_venv() -> bool:
    check = [sys.executable, "-c", "import ensurepip, venv"]
    return subprocess.run(check, check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    main(sys.argv[1:])
