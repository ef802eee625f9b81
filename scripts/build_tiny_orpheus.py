#!/usr/bin/env python3
"""A checkpoint in Orpheus's layout with constructed weights, in any size: it hums, it does not speak.

Runs in the server's environment, with scripts/ and model_repository/orpheus_tts/1/ on PYTHONPATH.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tiny_orpheus.checkpoint import build_checkpoint
from tiny_orpheus.errors import BuildError
from tiny_orpheus.shape import SHAPES, Shape, at_least, check
from tiny_orpheus.vocabulary import VOCABULARIES

SIZES = ("layers", "hidden", "heads", "kv_heads", "intermediate")


def main() -> int:
    arguments = _parser().parse_args()
    try:
        at_least("seed", arguments.seed, 0)
        build_checkpoint(check(_shape(arguments)), arguments.out, seed=arguments.seed)
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--shape", choices=SHAPES, default="tiny",
        help="sizes to start from: 'tiny' runs on a CPU, '3b' is Orpheus's own, 6.6 GB (default: %(default)s)",
    )  # fmt: skip
    for name in SIZES:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=f"instead of the shape's {name}")
    parser.add_argument(
        "--vocabulary", choices=VOCABULARIES,
        help="instead of the shape's: 'small' is 28,943 ids, 'full' Orpheus's own 156,940",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, help="of the voices and of all that only costs (default: %(default)s)"
    )
    return parser


def _shape(arguments: argparse.Namespace) -> Shape:
    given = {name: value for name in SIZES if (value := getattr(arguments, name)) is not None}
    shape = replace(SHAPES[arguments.shape], **given)
    if arguments.vocabulary:
        shape = replace(shape, vocabulary=VOCABULARIES[arguments.vocabulary]())
    return shape


if __name__ == "__main__":
    sys.exit(main())
