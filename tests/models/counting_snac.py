"""Triton model `snac_decoder` that counts: `frame_codes` says what each frame sounds like.

| input   | dtype, shape       | here                                            |
|---------|--------------------|-------------------------------------------------|
| `codes` | INT64 [B, F, 7]    | codes of `frame_codes`                          |
| `valid` | INT32 [B, 2]       | first and end real frame; audio outside is loud |

| output  | dtype, shape       | here                                            |
|---------|--------------------|-------------------------------------------------|
| `audio` | FP32 [B, 2048 * F] | whole numbers / 32767                           |

| parameter       | meaning                                                                  | default |
|-----------------|--------------------------------------------------------------------------|---------|
| `reach_samples` | receptive field: nearer to an inner edge of a window samples are garbage | 0       |
| `frame_ms`      | how long a frame takes, padding included                                 | 0       |
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb

from models.frame_codes import DECODER_ERROR, DECODER_HANGS_FROM, FAULT, decode

SECRET = "onnx node Conv_17 failed"
"""In the text of every error, which no caller may see."""


class TritonPythonModel:
    """One batch at a time, as a decoder on one device."""

    def initialize(self, args: Mapping[str, str]) -> None:
        given = {name: e["string_value"] for name, e in json.loads(args["model_config"])["parameters"].items()}
        self._reach_samples = int(given.get("reach_samples", "0"))
        self._frame_s = float(given.get("frame_ms", "0")) / 1000

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        answers = [self._answer(_input(request, "codes"), _input(request, "valid")) for request in requests]
        if self._frame_s:
            time.sleep(self._frame_s * sum(_input(request, "codes").size // 7 for request in requests))
        return answers

    def _answer(self, codes: Any, valid: Any) -> Any:
        faults = codes[..., FAULT]
        if (faults == DECODER_ERROR).any():
            return pb.InferenceResponse(error=pb.TritonError(SECRET, pb.TritonError.INTERNAL))
        if (longest := faults.max(initial=0)) >= DECODER_HANGS_FROM:
            time.sleep((longest - DECODER_HANGS_FROM) / 10)
        audio = decode(codes, valid, reach_samples=self._reach_samples)
        return pb.InferenceResponse([pb.Tensor("audio", np.ascontiguousarray(audio))])


def _input(request: Any, name: str) -> Any:
    return pb.get_input_tensor_by_name(request, name).as_numpy()
