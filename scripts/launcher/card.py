"""The card that a profile's models go onto."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.artefacts import Artefacts
from launcher.checkpoints import checkpoint_list
from launcher.commands import say
from launcher.inspection import read_config
from launcher.memory import GIB, Demand, EngineNeed, ModelShape, codec_bytes
from launcher.paths import MODEL_SOURCES
from launcher.profile import Profile
from launcher.render import parse_config
from launcher.report import show_memory

ASK_TIMEOUT_S = 20.0
MEBIBYTE = 1 << 20
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU, as much of it as matters here."""

    name: str
    memory_bytes: int


def check_memory(profile: Profile, artefacts: Artefacts, *, allow_more: bool) -> None:
    """Shows what the profile takes of the card.

    Raises:
        LaunchError: it is too much, and `allow_more` is not set.
    """
    if profile.device != "gpu":
        return
    if (card := find_card(profile, os.environ)) is None:
        say("The card's memory is not known (no nvidia-smi, no card_memory_gb in the profile): nothing is checked")
        return
    demand = demand_of(profile, artefacts, card)
    show_memory(card.name, demand)
    if not allow_more:
        demand.check()


def demand_of(profile: Profile, artefacts: Artefacts, card: Card) -> Demand:
    """What the profile's models take, by their own files.

    Raises:
        LaunchError: one of them is not what it should be.
    """
    engines = tuple(
        EngineNeed.of(
            checkpoint, choice.engine, ModelShape.of(read_config(artefacts.checkpoints[choice.name], choice.name))
        )
        for choice, checkpoint in zip(profile.checkpoints, checkpoint_list(profile, artefacts), strict=True)
    )
    codec = codec_bytes(
        weights_bytes=_size(artefacts.decoder) + _size(artefacts.encoder),
        bucket_frames=profile.codec.bucket_frames,
        batch=parse_config(MODEL_SOURCES / "snac_decoder" / "config.pbtxt").max_batch_size,
    )
    return Demand(engines=engines, codec_bytes=codec, card_bytes=card.memory_bytes)


def find_card(profile: Profile | None, environ: Mapping[str, str]) -> Card | None:
    """By nvidia-smi where there is one, else what the profile says; None if neither knows."""
    if answer := _asked(environ):
        return parse_card(answer)
    if profile and profile.card_memory_gb is not None:
        return Card(f"a {profile.card_memory_gb:g} GB card, by the profile", round(profile.card_memory_gb * GIB))
    return None


def parse_card(answer: str) -> Card | None:
    """The first line of nvidia-smi's answer: memory in MiB, name."""
    memory, _, name = next(iter(answer.splitlines()), "").partition(",")
    return Card(name.strip(), int(memory) * MEBIBYTE) if memory.strip().isdecimal() else None


def _asked(environ: Mapping[str, str]) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    first = environ.get(VISIBLE, "").split(",")[0].strip()
    chosen = [f"--id={first}"] if first else []
    command = [program, *chosen, "--query-gpu=memory.total,name", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ASK_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""


def _size(path: Path) -> int:
    """Of an ONNX file with its weights, which may lie beside it."""
    beside = path.with_name(f"{path.name}.data")
    return sum(file.stat().st_size for file in (path, beside) if file.exists())
