"""The commands, in the environment of client and tests."""

import sys

from launcher.arguments import home_of, read_arguments
from launcher.errors import sentences
from launcher.fetch import fetch
from launcher.perf.command import perf
from launcher.quality import check, test
from launcher.run import render_only, run
from launcher.trt import build_trt

COMMANDS = {
    "run": run,
    "render": render_only,
    "fetch": fetch,
    "trt": build_trt,
    "perf": perf,
    "test": test,
    "check": check,
}


def main() -> int:
    """One command; returns the exit status."""
    options = read_arguments(sys.argv[1:])
    with sentences():
        return COMMANDS[options.command](options, home_of(options))


if __name__ == "__main__":
    sys.exit(main())
