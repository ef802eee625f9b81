"""The command lines of the programs in scripts/; read before any environment exists."""

import argparse
import os
from pathlib import Path

from launcher.paths import PERF_CONFIGURATIONS, PROFILES, Home

DEFAULT_PROFILE = "demo"
DEFAULT_TEXT = "Hello, I am Orpheus, and this sentence came through the whole chain."
DEFAULT_GRPC_PORT = 8001
DEFAULT_BRIDGE_PORT = 8000


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    """The options of one command; its name is `command`. Ends the process for --help and for what it cannot read."""
    parser = argparse.ArgumentParser(prog="launcher", add_help=False)
    commands = parser.add_subparsers(dest="command", required=True)
    _run_options(commands.add_parser("run", prog="scripts/run", description=RUN_DESCRIPTION))
    _render_options(commands.add_parser("render", prog="scripts/render_repository", description=RENDER_DESCRIPTION))
    _fetch_options(commands.add_parser("fetch", prog="scripts/fetch_models", description=FETCH_DESCRIPTION))
    _trt_options(commands.add_parser("trt", prog="scripts/build_trt", description=TRT_DESCRIPTION))
    _perf_options(commands.add_parser("perf", prog="scripts/perf", description=PERF_DESCRIPTION))
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
FETCH_DESCRIPTION = (
    "Fetches every model that a profile names from the Hugging Face hub, checks the files, "
    "and writes down their commits."
)
TRT_DESCRIPTION = (
    "Builds a TensorRT plan of the profile's decoder for this machine's card, "
    "and holds its audio against ONNX Runtime's."
)
PERF_DESCRIPTION = (
    "Has NVIDIA's perf_analyzer put load on a running server, and writes percentiles of the first response and of the "
    "gaps between responses: a table, JSON and a picture. perf_analyzer is the one on PATH or in $PERF_ANALYZER, else "
    "it is installed. perf_analyzer_configs/README.md says what each configuration shows."
)
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
    _memory_option(parser)
    _home_option(parser)


def _render_options(parser: argparse.ArgumentParser) -> None:
    _profile_option(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, outside the checkout")
    _memory_option(parser)
    _home_option(parser)


def _fetch_options(parser: argparse.ArgumentParser) -> None:
    _profile_option(parser)
    parser.add_argument(
        "--language", action="append", default=[], metavar="L",
        help="also the released checkpoint of this language (fr, de, es, it, ko, hi, zh); may be repeated",
    )  # fmt: skip
    _home_option(parser)


def _trt_options(parser: argparse.ArgumentParser) -> None:
    _profile_option(parser)
    parser.add_argument("--fp16", action="store_true", help="half precision; refused if the audio suffers by it")
    parser.add_argument("--trtexec", help="the program (default: on PATH, or where NVIDIA's containers have it)")
    parser.add_argument("--container", metavar="IMAGE", help="run trtexec in this image, by docker")
    _home_option(parser)


def _memory_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-more-memory", action="store_true", help="also where the models take more than 80 %% of the card"
    )


def _perf_options(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(sorted(path.stem for path in PERF_CONFIGURATIONS.glob("*.flags")))
    parser.add_argument("configuration", metavar="NAME", help=f"one of {names}")
    parser.add_argument(
        "--address", default=f"127.0.0.1:{DEFAULT_GRPC_PORT}", help="host:port of Triton's gRPC (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="folder to write (default: perf/NAME-TIME in the data home)")
    parser.add_argument("--levels", type=float, nargs="+", metavar="L", help="instead of the configuration's own")
    parser.add_argument("--requests", type=int, metavar="N", help="for each level, instead of the configuration's own")
    parser.add_argument(
        "--timeout", type=float, default=1800.0, metavar="S", help="seconds for each level (default: %(default)g)"
    )
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
