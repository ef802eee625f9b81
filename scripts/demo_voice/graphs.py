"""Decoder and encoder as ONNX files with the interface of SNAC's, and how far they are from PyTorch."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from demo_voice.codec_data import Spoken
from demo_voice.decoder import Decoder
from demo_voice.encoder import Encoder
from demo_voice.errors import RecipeError
from orpheus_core.layout import SAMPLES_PER_FRAME, TOKENS_PER_FRAME

OPSET = 18
"""As SNAC's export."""
EXAMPLE_FRAMES = 8

MAX_DIFFERENCE = 1e-5
"""Between frames in a window and the same frames alone, of full scale."""
MAX_TORCH_DIFFERENCE = 2e-3
"""The source's closed form magnifies the last bits of a sine: heard by nobody, and the same in every decode."""
MIN_EQUAL_CODES = 0.99


def write_decoder(decoder: Decoder, path: Path) -> None:
    """`codes` INT64 [B, F, 7] and `valid` INT32 [B, 2] to `audio` FP32 [B, 2048 * F]."""
    batch, frames = torch.export.Dim("B"), torch.export.Dim("F")
    codes = torch.zeros(2, EXAMPLE_FRAMES, TOKENS_PER_FRAME, dtype=torch.int64)
    valid = torch.tensor([[0, EXAMPLE_FRAMES]] * 2, dtype=torch.int32)
    shapes = ({0: batch, 1: frames}, {0: batch})
    _write(decoder, (codes, valid), shapes, inputs=("codes", "valid"), output="audio", path=path)


def write_encoder(encoder: Encoder, path: Path) -> None:
    """`audio` FP32 [2048 * F] to `codes` INT64 [F, 7]."""
    samples = SAMPLES_PER_FRAME * torch.export.Dim("F")
    audio = torch.zeros(EXAMPLE_FRAMES * SAMPLES_PER_FRAME)
    _write(encoder, (audio,), ({0: samples},), inputs=("audio",), output="codes", path=path)


def check_decoder(decoder: Decoder, path: Path, spoken: Sequence[Spoken]) -> float:
    """The largest difference between frames in padded windows and the same frames alone.

    Raises:
        RecipeError: it is above `MAX_DIFFERENCE`, or PyTorch's audio is another.
    """
    session = _session(path)
    worst = 0.0
    for index, one in enumerate(spoken):
        codes = one.codes.numpy()[:48]
        alone = _decoded(session, codes, 0, len(codes))
        first = 1 + index % 5
        window = np.zeros((64, TOKENS_PER_FRAME), dtype=np.int64)
        window[first : first + len(codes)] = codes
        padded = _decoded(session, window, first, first + len(codes))
        worst = max(worst, float(np.abs(padded - alone).max()))
        valid = torch.tensor([[0, len(codes)]], dtype=torch.int32)
        with torch.inference_mode():
            expected = decoder(torch.from_numpy(codes)[None], valid)[0].numpy()
        if (difference := float(np.abs(alone - expected).max())) > MAX_TORCH_DIFFERENCE:
            raise RecipeError(f"{path.name}: {difference:.1e} from PyTorch, more than {MAX_TORCH_DIFFERENCE}")
    if worst > MAX_DIFFERENCE:
        raise RecipeError(f"{path.name}: padded windows differ by {worst:.1e}, more than {MAX_DIFFERENCE}")
    return worst


def check_encoder(encoder: Encoder, path: Path, spoken: Sequence[Spoken]) -> float:
    """The share of codes equal to PyTorch's.

    Raises:
        RecipeError: it is below `MIN_EQUAL_CODES`.
    """
    session = _session(path)
    equal = []
    for one in spoken:
        (codes,) = session.run(None, {"audio": one.audio.numpy()})
        with torch.inference_mode():
            equal.append((codes == encoder(one.audio).numpy()).ravel())
    share = float(np.concatenate(equal).mean())
    if share < MIN_EQUAL_CODES:
        raise RecipeError(f"{path.name}: gives {share:.1%} of PyTorch's codes, under {MIN_EQUAL_CODES:.0%}")
    return share


def _decoded(session: onnxruntime.InferenceSession, codes: Any, first: int, end: int) -> Any:
    feed = {"codes": codes[None], "valid": np.array([[first, end]], dtype=np.int32)}
    return session.run(None, feed)[0][0, first * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME]


def _session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def _write(
    graph: torch.nn.Module, example: tuple[torch.Tensor, ...], shapes: tuple[dict[int, Any], ...], *,
    inputs: Sequence[str], output: str, path: Path,
) -> None:  # fmt: skip
    with warnings.catch_warnings():
        # The exporter's own: deprecations inside torch, and shared axis names, which are meant.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.eval(), example, dynamo=True, opset_version=OPSET, dynamic_shapes=shapes, verbose=False,
            input_names=list(inputs), output_names=[output],
        )  # fmt: skip
    proto = program.model_proto
    _forget_origin(proto)
    onnx.save(proto, path)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drops the exporter's traces, which hold paths: equal weights then give equal files."""
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    for initializer in model.graph.initializer:
        del initializer.metadata_props[:]
    del model.graph.metadata_props[:]
