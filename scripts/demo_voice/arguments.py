"""The command line."""

import argparse
from pathlib import Path

from demo_voice.store import default_cache

STAGES = ("corpus", "codec", "lm", "export", "evaluate", "all")
DEFAULT_SHARDS = 200
"""Of 250 sentences, for each voice."""
DEFAULT_TRUNK_STEPS = 12_000
DEFAULT_FINISH_STEPS = 4_000


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    """The options; ends the process with a usage message if they are wrong."""
    parser = argparse.ArgumentParser(
        prog="make_demo_voice", description="Makes the demo voice, stage by stage. What is done is not done again."
    )
    parser.add_argument("stage", choices=STAGES, help="`all` is every stage up to `export`")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where everything is kept (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the corpus (%(default)s)")
    parser.add_argument(
        "--shards", type=int, default=DEFAULT_SHARDS,
        help="of 250 sentences for each voice; more can follow later (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--trunk-steps", type=int, default=DEFAULT_TRUNK_STEPS,
        help="of the language model at a constant rate; more can follow later (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--finish-steps", type=int, default=DEFAULT_FINISH_STEPS,
        help="in which the rate falls to nothing; 0 leaves it at the trunk (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--finish-rate", type=float, default=1.0,
        help="where a finish begins, as a share of the full rate (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--warm-start", type=Path, metavar="DIR",
        help="a release that a new training goes on from: its weights, and its meaning of the codes",
    )  # fmt: skip
    _add_output(parser)
    return parser.parse_args(arguments)


def _add_output(parser: argparse.ArgumentParser) -> None:
    release = Path(__file__).parent / "release"
    parser.add_argument("--release", type=Path, default=release, help="folder of the export (%(default)s)")
    parser.add_argument("--address", default="127.0.0.1:8001", help="of the Triton that is evaluated (%(default)s)")
    parser.add_argument(
        "--sentences", type=int, default=40, help="that are evaluated of each kind and voice (%(default)s)"
    )
    parser.add_argument("--report", type=Path, help="folder that the evaluation writes its tables and samples to")
    parser.add_argument("--page", type=Path, help="Markdown page that the evaluation puts its table into")
