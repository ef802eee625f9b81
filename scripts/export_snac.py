#!/usr/bin/env python3
"""SNAC 24 kHz to ONNX: decoder.onnx and encoder.onnx for the model repository, and snac.json about them.

Runs in the server's environment, with scripts/ and model_repository/orpheus_tts/1/ on PYTHONPATH.
"""

import argparse
import logging
import sys
from pathlib import Path

from snac_export.errors import ExportError
from snac_export.export import export
from snac_export.parity import EVERY_FRAMES, QUICK_FRAMES
from snac_export.weights import HUB_ID, RANDOM, load


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to; made if missing")
    parser.add_argument(
        "--weights", default=HUB_ID, metavar="SOURCE",
        help=f"folder with config.json and pytorch_model.bin, hub id, or '{RANDOM}': hums instead of speaking "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--revision", help="commit or tag of a hub id")
    parser.add_argument("--seed", type=int, default=0, help=f"of '{RANDOM}' weights (default: %(default)s)")
    parser.add_argument(
        "--check-every-length", action="store_true",
        help="hold all lengths of 1 to 64 frames against PyTorch, not only a few (about two minutes)",
    )  # fmt: skip
    arguments = parser.parse_args()
    # The exporter warns of torchvision's absence, whose operators are not used.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        codec = load(arguments.weights, seed=arguments.seed, revision=arguments.revision)
        lengths_frames = EVERY_FRAMES if arguments.check_every_length else QUICK_FRAMES
        export(codec, arguments.out, lengths_frames=lengths_frames)
    except (ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
