"""scripts/build_trt."""

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from math import inf
from pathlib import Path

import numpy as np

from launcher.artefacts import Workshop
from launcher.card import Card, find_card
from launcher.commands import require_free_bytes, run_step, say
from launcher.errors import LaunchError
from launcher.paths import MODEL_SOURCES, SCRIPTS, Home
from launcher.profile import Profile
from launcher.render import parse_config
from launcher.run import server_environment_of, settled_profile
from launcher.trt_plan import (
    FACTS_FILE,
    PLAN_FILE,
    Floats,
    Shapes,
    Window,
    build_command,
    in_container,
    judge,
    read_output,
    run_command,
    snr_db,
    windows,
    write_inputs,
)

USUAL_PLACE = Path("/usr/src/tensorrt/bin/trtexec")
"""In NVIDIA's containers."""

EXAMPLE_IMAGE = "nvcr.io/nvidia/tensorrt:26.07-py3"
NEEDED_BYTES = 2 * 10**9


def build_trt(options: argparse.Namespace, home: Home) -> int:
    """Builds the plan of the profile's decoder, holds it against ONNX Runtime, and keeps it if it is near enough."""
    card = require_card()
    program = trtexec(options.trtexec, options.container)
    profile = settled_profile(options.profile)
    home.make()
    require_free_bytes(home.models, NEEDED_BYTES, "the plan")
    environment = server_environment_of(profile, home)
    say("Models")
    workshop = Workshop(home, environment)
    onnx = workshop.decoder(profile.codec)
    precision = "fp16" if options.fp16 else "fp32"
    target = home.models / folder_name(onnx.parent.name, card, precision)
    with tempfile.TemporaryDirectory(prefix=".plan-", dir=home.models) as name:
        draft = Path(name)
        shutil.copyfile(onnx, draft / "decoder.onnx")
        run = [*in_container(options.container, draft)] if options.container else program
        shapes = shapes_of(profile)
        plan = draft / PLAN_FILE
        command = build_command(run, onnx=draft / "decoder.onnx", plan=plan, shapes=shapes, precision=precision)
        run_step("building the plan, some minutes", command, writes_to=draft)
        worst_db = worst_snr_db(run, draft, shapes.bucket_frames, environment.python)
        say(f"The plan's audio is at least {worst_db:.1f} dB over its difference from ONNX Runtime's")
        judge(worst_db, precision)
        facts = {"card": card.name, "precision": precision, "worst_snr_db": worst_db,
                 "bucket_frames": shapes.bucket_frames, "max_batch": shapes.max_batch}  # fmt: skip
        target.mkdir(exist_ok=True)
        (target / FACTS_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        plan.replace(target / PLAN_FILE)
    say(f'To serve it on a Triton of the same TensorRT and card, the profile says:\n[codec]\nplan = "{target}"')
    return 0


def require_card() -> Card:
    """
    Raises:
        LaunchError: there is no GPU here.
    """
    if shutil.which("nvidia-smi") is None or (card := find_card(None, os.environ)) is None:
        raise LaunchError("no GPU is here (nvidia-smi finds none): a plan is built on the card that serves it")
    return card


def trtexec(given: str | None, container: str | None) -> list[str]:
    """The program that builds plans.

    Raises:
        LaunchError: it is not here.
    """
    if container:
        if shutil.which("docker") is None:
            raise LaunchError("--container: docker is not on PATH: install it, or run this command in the container")
        return []
    for candidate in (given,) if given else ("trtexec", str(USUAL_PLACE)):
        if found := shutil.which(candidate):
            return [found]
    raise LaunchError(
        f"{given or 'trtexec'} is not here: run this command in NVIDIA's TensorRT container of your Triton's release, "
        f"name the program with --trtexec, or let docker run it with --container {EXAMPLE_IMAGE}"
    )


def shapes_of(profile: Profile) -> Shapes:
    """What the profile's `snac_decoder` is asked for."""
    config = parse_config(MODEL_SOURCES / "snac_decoder" / "config.pbtxt")
    return Shapes(bucket_frames=profile.codec.bucket_frames, max_batch=config.max_batch_size)


def folder_name(codec: str, card: Card, precision: str) -> str:
    """Says what a plan is bound to."""
    plain = "".join(sign if sign.isalnum() else "-" for sign in card.name.lower())
    return f"{codec}-plan-{precision}-{plain}"


def worst_snr_db(program: Sequence[str], folder: Path, bucket_frames: Sequence[int], python: Path) -> float:
    """Of the plan in the folder against the ONNX file there, over windows of all lengths.

    Raises:
        LaunchError: one of them does not run.
    """
    made = windows(bucket_frames)
    worst_db = inf
    for window, reference in zip(made, _references(folder, made, python), strict=True):
        write_inputs(window, folder)
        out = folder / "output.json"
        command = run_command(program, plan=folder / PLAN_FILE, window=window, folder=folder, out=out)
        run_step(f"{window.frames} frames by the plan", command, writes_to=folder)
        worst_db = min(worst_db, snr_db(reference, read_output(out.read_text(encoding="utf-8"))))
    return worst_db


def _references(folder: Path, made: Sequence[Window], python: Path) -> list[Floats]:
    inputs = {f"{name}_{n}": getattr(window, name) for n, window in enumerate(made) for name in ("codes", "valid")}
    np.savez(folder / "windows.npz", **inputs)
    onnx, given, out = (folder / name for name in ("decoder.onnx", "windows.npz", "audio.npz"))
    run_step(
        "the same windows by ONNX Runtime", [python, SCRIPTS / "decode_onnx.py", onnx, given, out], writes_to=folder
    )
    audio = np.load(out)
    return [audio[f"audio_{number}"].astype(np.float32).ravel() for number in range(len(made))]
