"""Where things lie: the checkout is only read, everything made goes under the data home."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import LaunchError

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPTS = CHECKOUT / "scripts"
REQUIREMENTS = CHECKOUT / "requirements"
MODEL_SOURCES = CHECKOUT / "model_repository"
PROFILES = SCRIPTS / "profiles"
LOCAL_BACKENDS = SCRIPTS / "local_backends"
PERF_CONFIGURATIONS = CHECKOUT / "perf_analyzer_configs"
DEV_ENVIRONMENT = CHECKOUT / ".venv"


@dataclass(frozen=True, slots=True)
class Home:
    """The data home: environments, built models, rendered repositories, logs and the state of running servers."""

    root: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Home":
        """`$ORPHEUS_HOME`, else `$XDG_DATA_HOME/orpheus-triton`, else `~/.local/share/orpheus-triton`."""
        if given := environ.get("ORPHEUS_HOME"):
            return cls(Path(given).expanduser().resolve())
        data_home = environ.get("XDG_DATA_HOME")
        base = Path(data_home) if data_home else Path.home() / ".local" / "share"
        return cls((base / "orpheus-triton").resolve())

    @property
    def environments(self) -> Path:
        return self.root / "envs"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def repositories(self) -> Path:
        return self.root / "repositories"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def runs(self) -> Path:
        """One folder per running server; the name of its folder is what its processes are recognised by."""
        return self.root / "runs"

    def make(self) -> None:
        """Creates the folders.

        Raises:
            LaunchError: one of them cannot be made or written to, or search paths cannot hold their name.
        """
        if os.pathsep in str(self.root):
            raise LaunchError(
                f"{self.root}: search paths separate folders with ':': name another data home with --home"
            )
        for folder in (self.environments, self.models, self.repositories, self.logs, self.runs):
            make_folder(folder)


def make_folder(folder: Path) -> None:
    """Creates a folder with its parents and checks that it takes files.

    Raises:
        LaunchError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise LaunchError(
            f"{folder} cannot be written ({error.strerror}): give write access, or name another data home with --home"
        ) from None
