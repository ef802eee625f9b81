"""How far a graph is from PyTorch."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from snac import SNAC

from orpheus_core.layout import CODES_PER_SLOT, DECODER_BUCKET_FRAMES, SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from snac_export.errors import ExportError
from snac_export.slots import decode, encode

MAX_DIFFERENCE = 1e-5
"""Of full scale: a third of one int16 step."""

MIN_EQUAL_CODES = 0.99
"""Two code vectors can be equally near to within rounding; then either is right."""

QUICK_FRAMES = (1, 5, 8, 13, 30)
EVERY_FRAMES = range(1, DECODER_BUCKET_FRAMES[-1] + 1)


def check_decoder(model: SNAC, path: Path, lengths_frames: Iterable[int]) -> float:
    """The largest difference over speeches of these lengths, each padded to its bucket at a place of its own.

    Raises:
        ExportError: it is above `MAX_DIFFERENCE`.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    worst = 0.0
    for length_frames in lengths_frames:
        bucket_frames = next(bucket for bucket in DECODER_BUCKET_FRAMES if bucket >= length_frames)
        first = int(generator.integers(0, bucket_frames - length_frames + 1))
        end = first + length_frames
        codes = np.zeros((1, bucket_frames, TOKENS_PER_FRAME), dtype=np.int64)
        codes[:, first:end] = generator.integers(0, CODES_PER_SLOT, (1, length_frames, TOKENS_PER_FRAME))
        (audio,) = session.run(None, {"codes": codes, "valid": np.array([[first, end]], dtype=np.int32)})
        expected = decode(model, torch.from_numpy(codes[:, first:end])).numpy()
        served = audio[:, first * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME]
        worst = max(worst, float(np.abs(served - expected).max()))
    if not worst <= MAX_DIFFERENCE:
        raise ExportError(f"decoder.onnx differs from PyTorch by {worst:.1e}, more than {MAX_DIFFERENCE}: not written")
    return worst


def check_encoder(model: SNAC, path: Path) -> float:
    """The share of equal codes over two speeches of noise.

    Raises:
        ExportError: it is below `MIN_EQUAL_CODES`.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    equal = []
    for length_frames in (1, 24):
        audio = 0.1 * generator.standard_normal(length_frames * SAMPLES_PER_FRAME).astype(np.float32)
        (codes,) = session.run(None, {"audio": audio})
        equal.append((codes == encode(model, torch.from_numpy(audio)).numpy()).ravel())
    share = float(np.concatenate(equal).mean())
    if share < MIN_EQUAL_CODES:
        raise ExportError(
            f"encoder.onnx gives {share:.1%} of PyTorch's codes, under {MIN_EQUAL_CODES:.0%}: not written"
        )
    return share
