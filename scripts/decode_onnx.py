"""Decodes windows with ONNX Runtime on the CPU: what another engine's audio is held against.

Runs in the server's environment. The input is an .npz with `codes_0`, `valid_0`, `codes_1`, ...; the output one with
`audio_0`, `audio_1`, ...
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main() -> int:
    onnx, windows, out = map(Path, sys.argv[1:])
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    given = np.load(windows)
    audio = {}
    for number in range(len(given) // 2):
        feed = {"codes": given[f"codes_{number}"], "valid": given[f"valid_{number}"]}
        (audio[f"audio_{number}"],) = session.run(["audio"], feed)
    np.savez(out, **audio)
    return 0


if __name__ == "__main__":
    sys.exit(main())
