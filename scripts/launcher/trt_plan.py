"""A TensorRT plan of the SNAC decoder: how it is built, run and judged. Nothing is started here."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log10
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from launcher.errors import LaunchError
from orpheus_core.layout import CODES_PER_SLOT, TOKENS_PER_FRAME

PLAN_FILE = "model.plan"
FACTS_FILE = "plan.json"

MIN_SNR_DB = {"fp32": 90.0, "fp16": 60.0}
"""Signal to difference, against ONNX Runtime on the CPU. In fp32 only the order of sums differs, which leaves more than
120 dB; less than 90 dB means TF32 or a fault. In fp16 60 dB is a thousandth of the signal: below what speech hides, and
far from the 41 to 44 dB of windows without their whole context, whose joins are heard."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """What the plan is asked for."""

    bucket_frames: tuple[int, ...]
    max_batch: int

    def flags(self) -> list[str]:
        """One profile from a single shortest window to the largest batch, fastest at single windows of the second
        length, where streams that keep up with their listeners mostly are."""
        usual = self.bucket_frames[min(1, len(self.bucket_frames) - 1)]
        return [
            f"--minShapes={shape(1, self.bucket_frames[0])}",
            f"--optShapes={shape(1, usual)}",
            f"--maxShapes={shape(self.max_batch, self.bucket_frames[-1])}",
        ]


@dataclass(frozen=True, slots=True)
class Window:
    """One request of the decoder: codes [1, F, 7] int64, valid [1, 2] int32."""

    codes: npt.NDArray[np.int64]
    valid: npt.NDArray[np.int32]

    @property
    def frames(self) -> int:
        return int(self.codes.shape[1])


def shape(batch: int, frames: int) -> str:
    """Both inputs' dimensions as trtexec takes them."""
    return f"codes:{batch}x{frames}x{TOKENS_PER_FRAME},valid:{batch}x2"


def build_command(program: Sequence[str], *, onnx: Path, plan: Path, shapes: Shapes, precision: str) -> list[str]:
    """Builds the plan. TF32, which TensorRT takes by itself, drops digits that the joins of windows need."""
    half = ["--fp16"] if precision == "fp16" else []
    flags = [f"--onnx={onnx}", f"--saveEngine={plan}", "--noTF32", *half, *shapes.flags(), "--skipInference"]
    return [*program, *flags]


def run_command(program: Sequence[str], *, plan: Path, window: Window, folder: Path, out: Path) -> list[str]:
    """Runs one window whose inputs `write_inputs` has put into `folder`; the audio goes to `out`, as JSON."""
    inputs = ",".join(f"{name}:{folder / name}.bin" for name in ("codes", "valid"))
    return [
        *program, f"--loadEngine={plan}", f"--shapes={shape(1, window.frames)}", f"--loadInputs={inputs}",
        f"--exportOutput={out}", "--iterations=1", "--warmUp=0", "--duration=0",
    ]  # fmt: skip


def in_container(image: str, folder: Path) -> list[str]:
    """trtexec of a container that sees the folder under its own name."""
    return ["docker", "run", "--rm", "--gpus", "all", "--volume", f"{folder}:{folder}", image, "trtexec"]


def windows(bucket_frames: Sequence[int]) -> list[Window]:
    """Of each length one that is full and one that is padded at both ends."""
    generator = np.random.default_rng(0)
    made = []
    for frames in bucket_frames:
        for first, end in ((0, frames), (1, frames - 2)):
            codes = np.zeros((1, frames, TOKENS_PER_FRAME), np.int64)
            codes[:, first:end] = generator.integers(0, CODES_PER_SLOT, (1, end - first, TOKENS_PER_FRAME))
            made.append(Window(codes, np.array([[first, end]], np.int32)))
    return made


def write_inputs(window: Window, folder: Path) -> None:
    """The raw bytes that trtexec loads."""
    (folder / "codes.bin").write_bytes(window.codes.tobytes())
    (folder / "valid.bin").write_bytes(window.valid.tobytes())


def read_output(text: str) -> Floats:
    """`audio` from the JSON that trtexec writes.

    Raises:
        LaunchError: it is not there.
    """
    try:
        tensors: list[dict[str, Any]] = json.loads(text)
        values = next(tensor["values"] for tensor in tensors if tensor["name"] == "audio")
        return np.asarray(values, dtype=np.float32).ravel()
    except (ValueError, TypeError, KeyError, StopIteration):
        raise LaunchError("trtexec wrote no output `audio`: is its version that of the plan?") from None


def snr_db(reference: Floats, got: Floats) -> float:
    """Signal to difference; minus infinity if there are values that are no numbers.

    Raises:
        LaunchError: not the same number of samples.
    """
    if reference.shape != got.shape:
        raise LaunchError(f"the plan gives {got.shape} samples, ONNX Runtime {reference.shape}: build it anew")
    if not np.isfinite(got).all():
        return -inf
    signal, difference = (float(np.square(x, dtype=np.float64).sum()) for x in (reference, reference - got))
    if difference == 0:
        return inf
    return 10 * log10(signal / difference) if signal else -inf


def judge(worst_db: float, precision: str) -> None:
    """
    Raises:
        LaunchError: the plan is too far from ONNX Runtime to be served.
    """
    bound_db = MIN_SNR_DB[precision]
    if worst_db < bound_db:
        fix = "leave out --fp16" if precision == "fp16" else "serve the ONNX file, which needs no plan"
        raise LaunchError(
            f"the plan's audio is {worst_db:.1f} dB over its difference from ONNX Runtime's, {precision} must have "
            f"{bound_db:.0f} dB: it is not kept; {fix}"
        )
