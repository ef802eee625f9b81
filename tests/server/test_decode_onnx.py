"""The windows that a TensorRT plan is held against, decoded by a process of their own."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import decode_onnx
from launcher.trt_plan import windows
from snac_export.export import DECODER_FILE

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]


def test_every_window_is_decoded_as_the_file_says(
    decoder: onnxruntime.InferenceSession, codec_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = windows((8,))
    inputs = {f"{name}_{n}": getattr(window, name) for n, window in enumerate(made) for name in ("codes", "valid")}
    np.savez(tmp_path / "windows.npz", **inputs)
    given = [codec_folder / DECODER_FILE, tmp_path / "windows.npz", tmp_path / "audio.npz"]
    monkeypatch.setattr(sys, "argv", ["decode_onnx.py", *map(str, given)])
    assert decode_onnx.main() == 0
    audio = np.load(tmp_path / "audio.npz")
    for number, window in enumerate(made):
        (expected,) = decoder.run(["audio"], {"codes": window.codes, "valid": window.valid})
        np.testing.assert_allclose(audio[f"audio_{number}"], expected, atol=1e-6)
        first = int(window.valid[0, 0]) * 2048
        assert not audio[f"audio_{number}"][0, :first].any()
