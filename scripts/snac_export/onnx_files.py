"""Graphs to ONNX files."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from snac import SNAC

from orpheus_core.layout import SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from snac_export.graphs import SlotEncoder, WindowDecoder

OPSET = 18
"""Every operator of it is known to the TensorRT of the containers; newer sets bring nothing here."""

EXAMPLE_FRAMES = 8


def write_decoder(model: SNAC, path: Path) -> None:
    """`codes` INT64 [B, F, 7] and `valid` INT32 [B, 2] to `audio` FP32 [B, 2048 * F]."""
    batch, frames = torch.export.Dim("B"), torch.export.Dim("F")
    codes = torch.zeros(2, EXAMPLE_FRAMES, TOKENS_PER_FRAME, dtype=torch.int64)
    valid = torch.tensor([[0, EXAMPLE_FRAMES]] * 2, dtype=torch.int32)
    shapes = ({0: batch, 1: frames}, {0: batch})
    _write(WindowDecoder(model), (codes, valid), shapes, inputs=["codes", "valid"], output="audio", path=path)


def write_encoder(model: SNAC, path: Path) -> None:
    """`audio` FP32 [2048 * F] to `codes` INT64 [F, 7]."""
    samples = SAMPLES_PER_FRAME * torch.export.Dim("F")
    audio = torch.zeros(EXAMPLE_FRAMES * SAMPLES_PER_FRAME)
    _write(SlotEncoder(model), (audio,), ({0: samples},), inputs=["audio"], output="codes", path=path)


def _write(
    graph: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    shapes: tuple[dict[int, Any], ...],
    *,
    inputs: Sequence[str],
    output: str,
    path: Path,
) -> None:
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
    """Drops the exporter's traces, which hold this machine's paths: equal weights then give equal files."""
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    for initializer in model.graph.initializer:
        del initializer.metadata_props[:]
    del model.graph.metadata_props[:]
