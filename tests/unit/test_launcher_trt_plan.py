"""The TensorRT plan: its commands, what goes in and comes out, when it is kept, what is missing."""

import json
import sys
from math import inf
from pathlib import Path

import numpy as np
import pytest

from launcher import trt
from launcher.card import Card
from launcher.errors import LaunchError
from launcher.profile import load
from launcher.trt_plan import (
    MIN_SNR_DB,
    Shapes,
    build_command,
    in_container,
    judge,
    read_output,
    run_command,
    shape,
    snr_db,
    windows,
    write_inputs,
)

pytestmark = pytest.mark.unit

SHAPES = Shapes(bucket_frames=(8, 16, 32, 64), max_batch=8)


def test_the_plan_covers_every_window_and_batch() -> None:
    command = build_command(["trtexec"], onnx=Path("d.onnx"), plan=Path("m.plan"), shapes=SHAPES, precision="fp32")
    assert command == [
        "trtexec", "--onnx=d.onnx", "--saveEngine=m.plan", "--noTF32", "--minShapes=codes:1x8x7,valid:1x2",
        "--optShapes=codes:1x16x7,valid:1x2", "--maxShapes=codes:8x64x7,valid:8x2", "--skipInference",
    ]  # fmt: skip
    assert Shapes(bucket_frames=(32,), max_batch=1).flags()[1] == "--optShapes=codes:1x32x7,valid:1x2"
    half = build_command(["trtexec"], onnx=Path("d.onnx"), plan=Path("m.plan"), shapes=SHAPES, precision="fp16")
    assert set(half) - set(command) == {"--fp16"}


def test_a_container_sees_the_folder_under_its_own_name() -> None:
    program = in_container("image:1", Path("/data/draft"))
    assert program[:2] == ["docker", "run"]
    assert program[-4:] == ["--volume", "/data/draft:/data/draft", "image:1", "trtexec"]


def test_the_windows_are_of_every_length_full_and_padded() -> None:
    made = windows(SHAPES.bucket_frames)
    assert [window.frames for window in made] == [8, 8, 16, 16, 32, 32, 64, 64]
    for window in made:
        first, end = window.valid[0]
        assert 0 <= window.codes.min() <= window.codes.max() < 4096
        assert not window.codes[:, :first].any()
        assert not window.codes[:, end:].any()
    assert [tuple(window.valid[0]) for window in made[:2]] == [(0, 8), (1, 6)]


def test_inputs_are_the_raw_bytes_that_the_command_names(tmp_path: Path) -> None:
    window = windows((8,))[1]
    write_inputs(window, tmp_path)
    command = run_command(["t"], plan=Path("m.plan"), window=window, folder=tmp_path, out=tmp_path / "o.json")
    assert f"--loadInputs=codes:{tmp_path}/codes.bin,valid:{tmp_path}/valid.bin" in command
    assert f"--shapes={shape(1, 8)}" in command
    codes = np.frombuffer((tmp_path / "codes.bin").read_bytes(), np.int64).reshape(window.codes.shape)
    np.testing.assert_array_equal(codes, window.codes)
    assert (tmp_path / "valid.bin").stat().st_size == 8


def test_the_output_is_the_audio() -> None:
    text = json.dumps([{"name": "other", "values": [9]}, {"name": "audio", "dimensions": "1x2", "values": [0.5, -1]}])
    np.testing.assert_array_equal(read_output(text), np.array([0.5, -1], np.float32))
    for wrong in ("", "{}", "[]", '[{"name": "audio"}]'):
        with pytest.raises(LaunchError, match="trtexec wrote no output `audio`"):
            read_output(wrong)


def test_the_difference_is_told_in_decibels() -> None:
    signal = np.sin(np.arange(1000, dtype=np.float32))
    assert snr_db(signal, signal) == inf
    assert snr_db(signal, signal * np.float32(1.001)) == pytest.approx(60, abs=0.1)
    assert snr_db(signal, np.full_like(signal, np.nan)) == -inf
    assert snr_db(np.zeros_like(signal), signal) == -inf
    with pytest.raises(LaunchError, match="build it anew"):
        snr_db(signal, signal[:-1])


def test_only_a_plan_that_is_near_enough_is_kept() -> None:
    for precision, bound_db in MIN_SNR_DB.items():
        judge(bound_db, precision)
    with pytest.raises(LaunchError, match=r"44\.0 dB .* fp16 must have 60 dB: it is not kept; leave out --fp16"):
        judge(44.0, "fp16")
    with pytest.raises(LaunchError, match=r"fp32 must have 90 dB: it is not kept; serve the ONNX file"):
        judge(70.0, "fp32")
    with pytest.raises(LaunchError):
        judge(-inf, "fp16")


def test_without_a_card_or_the_program_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(trt, "USUAL_PLACE", tmp_path / "nowhere")
    with pytest.raises(LaunchError, match=r"no GPU is here \(nvidia-smi finds none\)"):
        trt.require_card()
    with pytest.raises(LaunchError, match=r"^trtexec is not here: .*TensorRT container .* --container nvcr\.io"):
        trt.trtexec(None, None)
    with pytest.raises(LaunchError, match=r"^/no/such is not here"):
        trt.trtexec("/no/such", None)
    with pytest.raises(LaunchError, match="docker is not on PATH"):
        trt.trtexec(None, "image")
    program = tmp_path / "trtexec"
    program.touch(mode=0o755)
    assert trt.trtexec(None, None) == [str(program)]


def test_the_shapes_are_the_served_model_s() -> None:
    assert trt.shapes_of(load("h100").profile) == SHAPES


def test_a_plan_s_folder_says_what_it_is_bound_to() -> None:
    card = Card("NVIDIA H100 80GB HBM3", 1)
    assert trt.folder_name("snac-1234", card, "fp32") == "snac-1234-plan-fp32-nvidia-h100-80gb-hbm3"


LIKE_ONNX = """
import sys
import numpy as np
_, _, _, windows, out = sys.argv
given = np.load(windows)
np.savez(out, **{f"audio_{n}": given[f"codes_{n}"].astype(np.float32).ravel() for n in range(len(given) // 2)})
"""
LIKE_TRTEXEC = """
import json, sys
import numpy as np
flags = dict(flag.lstrip("-").split("=", 1) for flag in sys.argv[1:] if "=" in flag)
inputs = dict(pair.split(":") for pair in flags["loadInputs"].split(","))
codes = np.fromfile(inputs["codes"], np.int64)
assert np.fromfile(inputs["valid"], np.int32).shape == (2,)
assert flags["shapes"].startswith(f"codes:1x{len(codes) // 7}x7,")
audio = codes * (1.001 if len(codes) == 8 * 7 else 1.00001)
json.dump([{"name": "audio", "dimensions": "", "values": audio.tolist()}], open(flags["exportOutput"], "w"))
"""


def program(folder: Path, name: str, source: str) -> Path:
    (folder / f"{name}.py").write_text(source)
    path = folder / name
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {folder / name}.py "$@"\n')
    path.chmod(0o755)
    return path


def test_the_worst_window_counts(tmp_path: Path) -> None:
    """Through the files that both programs read and write; only what they compute is made up."""
    python, trtexec = program(tmp_path, "python", LIKE_ONNX), program(tmp_path, "trtexec", LIKE_TRTEXEC)
    near = trt.worst_snr_db([str(trtexec)], tmp_path, (16,), python)
    assert near == pytest.approx(100, abs=0.5)
    far = trt.worst_snr_db([str(trtexec)], tmp_path, (16, 8), python)
    assert far == pytest.approx(60, abs=0.5)
