"""The Debian packages that the corpus is made from: flite's voices, two collections of English sentences and a list of
words."""

from pathlib import Path

from launcher import debian

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
        LaunchError: something is missing and cannot be installed by this user.
    """
    debian.require_packages(_missing, lack=f"{', '.join(_missing())}: not installed")


def _missing() -> list[str]:
    return [name for name, witness in PACKAGES.items() if not witness.exists()]
