"""The Python environments: made once per lock file and Python version, finished later if a start was broken off."""

import contextlib
import hashlib
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.commands import require_free_bytes, run_step, say, try_step
from launcher.errors import LaunchError
from launcher.locks import exclusive
from launcher.paths import CHECKOUT, DEV_ENVIRONMENT, REQUIREMENTS, Home, make_folder
from launcher.server_environment import OVERRIDE

STAMP = "orpheus-environment"
"""File in an environment's folder with its recipe's key, written at last."""

GB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to make one environment."""

    name: str
    lock: str
    """File under requirements/."""
    needed_bytes: int
    torch: str | None = None
    """A version with a local label, which no hashed file from the public index can name."""
    editable: bool = False
    """Whether the project itself is installed, editable."""

    @property
    def lock_path(self) -> Path:
        return REQUIREMENTS / self.lock

    def key(self) -> str:
        """Changes whenever the environment must be made anew."""
        digest = hashlib.sha256(self.lock_path.read_bytes())
        digest.update(f"{platform.python_version()} {self.torch}".encode())
        if self.editable:
            digest.update((CHECKOUT / "pyproject.toml").read_bytes())
        return digest.hexdigest()[:12]


TOOLS = Recipe(name="tools", lock="tools.txt", needed_bytes=GB // 5)
DEV = Recipe(name="client and tests", lock="dev.txt", needed_bytes=GB, editable=True)
SERVER_CPU = Recipe(name="server-cpu", lock="server-cpu.txt", needed_bytes=4 * GB, torch="2.13.0+cpu")
SERVER_CPU_024 = Recipe(name="server-cpu-024", lock="server-cpu-024.txt", needed_bytes=8 * GB)
"""For tests alone: the vLLM of NVIDIA's container."""

SERVER_GPU = Recipe(name="server-gpu", lock="server-gpu.txt", needed_bytes=20 * GB)
PERF_ANALYZER = Recipe(name="perf-analyzer", lock="perf.txt", needed_bytes=GB // 2)
"""NVIDIA's load generator, and the Triton wheel for the libraries that it is linked with."""


def dev_environment(home: Home) -> Path:
    """The environment of client, tests and launcher, `.venv` in the checkout; made or completed if need be."""
    with _making(DEV, DEV_ENVIRONMENT, home) as needed:
        if needed:
            uv = _tools(home) / "bin" / "uv"
            if _is_foreign(DEV_ENVIRONMENT):
                _venv_by_uv(uv, DEV_ENVIRONMENT)
            _install_locked(uv, DEV, DEV_ENVIRONMENT)
            _install(uv, DEV_ENVIRONMENT, "the project itself", "--no-deps", "--editable", CHECKOUT)
    return DEV_ENVIRONMENT


def server_environment(home: Home, recipe: Recipe, environ: Mapping[str, str]) -> Path:
    """The server's environment under the data home, or the one that `$ORPHEUS_SERVER_ENV` names, untouched."""
    if given := environ.get(OVERRIDE):
        return Path(given)
    root = home.environments / f"{recipe.name}-{recipe.key()}"
    with _making(recipe, root, home) as needed:
        if needed:
            tools = _tools(home)
            uv = tools / "bin" / "uv"
            _venv_by_uv(uv, root)
            if recipe.torch:
                _install_torch(tools, root, recipe.torch)
            _install_locked(uv, recipe, root)
    return root


def existing_server_environment(home: Home, recipe: Recipe, environ: Mapping[str, str]) -> Path | None:
    """Like `server_environment`, but nothing is made: None if it is not there."""
    root = Path(environ.get(OVERRIDE) or home.environments / f"{recipe.name}-{recipe.key()}")
    return root if environ.get(OVERRIDE) or _is_ready(recipe, root) else None


def _tools(home: Home) -> Path:
    """uv, from a virtual environment made by this Python."""
    root = home.environments / f"{TOOLS.name}-{TOOLS.key()}"
    with _making(TOOLS, root, home) as needed:
        if needed:
            run_step("virtual environment for tools", [sys.executable, "-m", "venv", "--clear", root], writes_to=root)
            pip: list[str | Path] = [root / "bin" / "python", "-m", "pip", "install", "--quiet", "--require-hashes"]
            run_step("tools", [*pip, "--requirement", TOOLS.lock_path], writes_to=root)
    return root


def _is_foreign(root: Path) -> bool:
    """Whether an environment has to be made from nothing, since it is not there or not of this Python.

    Raises:
        LaunchError: it is of another Python and was not made here, so it is not ours to remove.
    """
    if not (root / "bin" / "python").exists():
        return True
    version = "{}.{}".format(*sys.version_info[:2])
    if (root / "lib" / f"python{version}").exists():
        return False
    if not _stamp(root):
        raise LaunchError(f"{root} belongs to another Python than {version}: remove it, or start with its Python")
    return True


@contextlib.contextmanager
def _making(recipe: Recipe, root: Path, home: Home) -> Iterator[bool]:
    """Yields whether the environment has to be made; then nobody else makes it at the same time."""
    if _is_ready(recipe, root):
        yield False
        return
    home.make()
    with exclusive(home.environments / f"{root.name}.lock"):
        if _is_ready(recipe, root):
            yield False
            return
        say(f"Environment {recipe.name}: {root}")
        require_free_bytes(root, recipe.needed_bytes, f"the environment {recipe.name}")
        make_folder(root.parent)
        yield True
        (root / STAMP).write_text(recipe.key() + "\n", encoding="ascii")


def _is_ready(recipe: Recipe, root: Path) -> bool:
    return _stamp(root) == recipe.key() and (root / "bin" / "python").exists()


def _stamp(root: Path) -> str:
    try:
        return (root / STAMP).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _venv_by_uv(uv: Path, root: Path) -> None:
    command: list[str | Path] = [uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, root]
    run_step("virtual environment", command, writes_to=root)


def _install_locked(uv: Path, recipe: Recipe, root: Path) -> None:
    arguments = ("--no-deps", "--require-hashes", "--compile-bytecode", "--requirement", recipe.lock_path)
    _install(uv, root, f"packages of {recipe.lock}", *arguments)


def _install(uv: Path, root: Path, title: str, *arguments: str | Path) -> None:
    run_step(title, [uv, "pip", "install", "--python", root / "bin" / "python", *arguments], writes_to=root)


def _install_torch(tools: Path, root: Path, version: str) -> None:
    """From the index or folder that pip is set up with, else from PyTorch's own by uv, which does not read pip's."""
    python = root / "bin" / "python"
    pip: list[str | Path] = [
        tools / "bin" / "python",
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
    ]
    if try_step(f"torch {version} from pip's index", [*pip, "--only-binary", ":all:", f"torch=={version}"]):
        return
    _install(
        tools / "bin" / "uv", root, f"torch {version} from PyTorch's index",
        "--no-deps", "--torch-backend", "cpu", f"torch=={version.partition('+')[0]}",
    )  # fmt: skip


def check_python() -> None:
    """
    Raises:
        LaunchError: this machine or this Python cannot run the server.
    """
    version = "{}.{}".format(*sys.version_info[:2])
    if version not in SUPPORTED_PYTHONS:
        raise LaunchError(f"Python {version} cannot be used: {UNSUPPORTED_REASON}")
    if platform.machine() != "x86_64":
        raise LaunchError(f"this machine is {platform.machine()}: Triton's wheel is for x86_64 only")
    libc = os.confstr("CS_GNU_LIBC_VERSION") or "none"
    if not libc.startswith("glibc ") or tuple(map(int, libc.split()[1].split("."))) < MINIMUM_GLIBC:
        raise LaunchError(
            f"the C library is {libc}: Triton's wheel needs glibc 2.35 (Debian 12, Ubuntu 22.04 or newer)"
        )


SUPPORTED_PYTHONS = ("3.11", "3.12")
MINIMUM_GLIBC = (2, 35)
UNSUPPORTED_REASON = (
    "this project is written for 3.11 and up, and numpy below 2, which Triton's Python models need, has no wheel "
    "above 3.12. Install Python 3.11 (apt-get install python3.11 python3.11-venv libpython3.11) or 3.12"
)
