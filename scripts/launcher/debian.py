"""Debian's and Ubuntu's packages: installed where this user may, else named with the command that does it."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence

from launcher.commands import say
from launcher.errors import LaunchError


def require_packages(missing: Callable[[], Sequence[str]], *, lack: str) -> None:
    """Installs what is missing.

    Args:
        missing: the packages that are not there; asked again after the installation.
        lack: what is the matter without them, for people.

    Raises:
        LaunchError: something is missing and this user may not install it, or its installation failed.
    """
    if not (packages := missing()):
        return
    install = install_command(packages)
    if os.geteuid() != 0 or shutil.which(install[0]) is None:
        raise LaunchError(f"{lack}; as root: {' '.join(install)}")
    say(f"{lack}: installing {' '.join(packages)}")
    if subprocess.run(install, check=False).returncode != 0:
        subprocess.run([install[0], "update"], check=False)
        subprocess.run(install, check=False)
    if missing():
        raise LaunchError(f"{' '.join(install)} did not help; its own messages stand above")


def install_command(packages: Sequence[str]) -> list[str]:
    """What root types."""
    return ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
