"""The command lines of scripts/run, render_repository, test and check; read before any environment exists."""

import argparse
import os
from pathlib import Path

from launcher.paths import PROFILES, Home

DEFAULT_PROFILE = "cpu"
DEFAULT_TEXT = "Hello, I am Orpheus, and this sentence came through the whole chain."
DEFAULT_GRPC_PORT = 8001
DEFAULT_BRIDGE_PORT = 8000


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    """The options of one command; its name is `command`. Ends the process for --help and for what it cannot read."""
    parser = argparse.ArgumentParser(prog="launcher", add_help=False)
    commands = parser.add_subparsers(dest="command", required=True)
    _run_options(commands.add_parser("run", prog="scripts/run", description=RUN_DESCRIPTION))
    _render_options(commands.add_parser("render", prog="scripts/render_repository", description=RENDER_DESCRIPTION))
    _test_options(commands.add_parser("test", prog="scripts/test", description=TEST_DESCRIPTION))
    _home_option(commands.add_parser("check", prog="scripts/check", description=CHECK_DESCRIPTION))
    return parser.parse_args(arguments)


def home_of(options: argparse.Namespace) -> Home:
    """The data home that the options or the environment name."""
    return Home(options.home.expanduser().resolve()) if options.home else Home.from_environment(os.environ)


RUN_DESCRIPTION = (
    "Sets up what is missing, starts the speech server, speaks one sentence into a WAV file and serves until Ctrl-C."
)
RENDER_DESCRIPTION = "Writes a complete Triton model repository and prints the flags to start Triton with."
TEST_DESCRIPTION = "Sets up what is missing and runs the tests; names of groups select some."
CHECK_DESCRIPTION = "Formatting, lint, types, import contracts and model configurations; changes nothing."

TEST_GROUPS = ("unit", "server", "triton", "postgres", "livekit", "gpu", "e2e")


def _run_options(parser: argparse.ArgumentParser) -> None:
    _profile_option(parser)
    parser.add_argument("--text", default=DEFAULT_TEXT, help="what to speak (default: %(default)r)")
    parser.add_argument("--voice", help="one of the checkpoint's voices (default: the checkpoint's own default)")
    parser.add_argument("--out", type=Path, help="the WAV file (default: speech.wav in the data home)")
    parser.add_argument("--once", action="store_true", help="end after the sentence instead of serving")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_GRPC_PORT, help="gRPC port (default: %(default)s)")
    parser.add_argument("--metrics-port", type=int, help="(default: one above --port)")
    parser.add_argument("--bridge-port", type=int, default=DEFAULT_BRIDGE_PORT, help="HTTP API (default: %(default)s)")
    parser.add_argument("--no-bridge", action="store_true", help="Triton alone, without HTTP API and rooms")
    parser.add_argument("--http-port", type=int, help="Triton's HTTP port (default: two above --port)")
    _home_option(parser)


def _render_options(parser: argparse.ArgumentParser) -> None:
    _profile_option(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, outside the checkout")
    _home_option(parser)


def _test_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(TEST_GROUPS)} (default: all)")
    parser.add_argument("--pytest", default="", metavar="ARGUMENTS", help="further arguments for pytest, in one string")
    _home_option(parser)


def _profile_option(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(sorted(path.stem for path in PROFILES.glob("*.toml")))
    parser.add_argument(
        "--profile", default=DEFAULT_PROFILE, help=f"{names}, or a TOML file's path (default: %(default)s)"
    )


def _home_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--home",
        type=Path,
        help="data home (default: $ORPHEUS_HOME, else $XDG_DATA_HOME/orpheus-triton or ~/.local/share/orpheus-triton)",
    )
