"""The first steps of every stage, with nothing but the standard library: Debian's packages, the environment, then the
stage itself in it."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from demo_voice.arguments import read_arguments
from demo_voice.debian import require_packages
from launcher.environments import GB, Recipe, check_python, server_environment
from launcher.errors import sentences
from launcher.paths import CHECKOUT, MODEL_SOURCES, SCRIPTS, Home

DEMO_VOICE = Recipe(name="demo-voice", lock="demo-voice.txt", needed_bytes=3 * GB, torch="2.13.0+cpu")
SEARCH_PATH = (SCRIPTS, MODEL_SOURCES / "orpheus_tts" / "1", CHECKOUT / "client")


def main(arguments: list[str]) -> NoReturn:
    """Prepares, then becomes `python -m demo_voice.stages` with these arguments."""
    read_arguments(arguments)
    with sentences():
        check_python()
        require_packages()
        # Its own environment, whatever the server is told to use.
        root = server_environment(Home.from_environment(os.environ), DEMO_VOICE, {})
        become(root / "bin" / "python", arguments)


def become(python: Path, arguments: list[str]) -> NoReturn:
    """One thread a product: the stages' own threads and processes share the cores."""
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, SEARCH_PATH)),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    os.execve(python, [str(python), "-m", "demo_voice.stages", *arguments], variables)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
