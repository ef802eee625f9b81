"""The Debian packages that the corpus is made from: flite's voices, two collections of English sentences and a list of
words."""

import os
import shutil
import subprocess
from pathlib import Path

from demo_voice.errors import RecipeError

PACKAGES = {
    "libflite1": Path("/usr/share/doc/libflite1/copyright"),
    "fortunes": Path("/usr/share/games/fortunes/fortunes"),
    "wordnet-base": Path("/usr/share/wordnet/data.noun"),
    "wamerican": Path("/usr/share/dict/american-english"),
}
"""Package and a file of it by which it is known to be there."""


def require_packages() -> None:
    """Installs what is missing.

    Raises:
        RecipeError: something is missing and cannot be installed by this user.
    """
    if not (missing := _missing()):
        return
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RecipeError(f"{', '.join(missing)}: not installed; as root: {' '.join(install)}")
    print(f"Installing {', '.join(missing)}", flush=True)
    if subprocess.run(install, check=False).returncode != 0:
        subprocess.run(["apt-get", "update"], check=False)
        subprocess.run(install, check=False)
    if _missing():
        raise RecipeError(f"{' '.join(install)} did not help; its own messages stand above")


def _missing() -> list[str]:
    return [name for name, witness in PACKAGES.items() if not witness.exists()]
