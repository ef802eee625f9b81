"""What the renderer wrote into the model's configuration."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from orpheus_core.checkpoint import PARAMETER, Checkpoint, load_checkpoints
from orpheus_core.errors import InvalidInput
from orpheus_core.lexicon import Lexicon

Number = TypeVar("Number", int, float)

TRITON_THREAD_POOL_SIZE = 32
"""Threads for nested calls of a Triton that was started without `thread-pool-size`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long a stream may wait for the models behind it, in seconds."""

    first_token_s: float = 10.0
    """From the request to the first token."""
    token_gap_s: float = 5.0
    """From one token to the next."""
    decode_s: float = 15.0
    """One decode, waiting for its turn included."""
    total_s: float = 120.0
    """From the request to the stream's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The parameters of one instance."""

    checkpoints: tuple[Checkpoint, ...]
    lexicons: Mapping[str, Lexicon] = field(default_factory=dict)
    """Of those checkpoints that have one, by name."""
    max_streams: int = 12
    thread_pool_size: int = TRITON_THREAD_POOL_SIZE
    """What Triton was started with: `--backend-config=python,thread-pool-size`."""
    start_lead_frames: int = 1
    crowded_lead_frames: int = 4
    deadlines: Deadlines = Deadlines()


def read_settings(model_config: str, folder: Path) -> Settings:
    """From the model's configuration as JSON, and the files in its version's folder that it names.

    Raises:
        InvalidInput: a parameter is missing or cannot be read, or a file.
    """
    entries = json.loads(model_config).get("parameters", {})
    given = {name: str(entry["string_value"]) for name, entry in entries.items()}
    if PARAMETER not in given:
        raise InvalidInput(PARAMETER, "missing", "render the repository with scripts/render_repository")
    checkpoints = load_checkpoints(given[PARAMETER])
    usual = Settings(checkpoints=checkpoints, lexicons=_lexicons(checkpoints, folder))
    return replace(
        usual,
        max_streams=_number(given, "max_streams", int, usual.max_streams),
        thread_pool_size=_number(given, "thread_pool_size", int, usual.thread_pool_size),
        start_lead_frames=_number(given, "start_lead_frames", int, usual.start_lead_frames, least=0),
        crowded_lead_frames=_number(given, "crowded_lead_frames", int, usual.crowded_lead_frames, least=0),
        deadlines=Deadlines(
            first_token_s=_number(given, "first_token_timeout_s", float, usual.deadlines.first_token_s),
            token_gap_s=_number(given, "token_gap_timeout_s", float, usual.deadlines.token_gap_s),
            decode_s=_number(given, "decode_timeout_s", float, usual.deadlines.decode_s),
            total_s=_number(given, "total_timeout_s", float, usual.deadlines.total_s),
        ),
    )


def _lexicons(checkpoints: tuple[Checkpoint, ...], folder: Path) -> dict[str, Lexicon]:
    return {c.name: _lexicon(folder, c.lexicon) for c in checkpoints if c.lexicon}


def _lexicon(folder: Path, name: str) -> Lexicon:
    try:
        return Lexicon.parse((folder / name).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        fix = f"render the repository with scripts/render_repository ({error.__class__.__name__})"
        raise InvalidInput("lexicon", name, fix) from None


def _number(
    given: Mapping[str, str], name: str, kind: Callable[[str], Number], default: Number, *, least: float | None = None
) -> Number:
    if name not in given:
        return default
    try:
        value = kind(given[name])
    except ValueError:
        raise InvalidInput(name, given[name], "give a number") from None
    if not math.isfinite(value) or (value <= 0 if least is None else value < least):
        raise InvalidInput(name, given[name], "give a number above 0" if least is None else f"give {least} or more")
    return value
