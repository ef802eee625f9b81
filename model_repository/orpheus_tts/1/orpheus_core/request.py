"""A caller's tensors, checked, as one request for speech."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from orpheus_core.checkpoint import IGNORE, Checkpoint
from orpheus_core.choice import Choice, choose
from orpheus_core.errors import InvalidInput
from orpheus_core.layout import CODES_PER_SLOT, TOKENS_PER_FRAME
from orpheus_core.length import (
    MAX_REFERENCE_FRAMES,
    MAX_SECONDS,
    MIN_SECONDS,
    budget_frames,
    frames_in,
    frames_that_fit,
    prompt_tokens_bound,
)
from orpheus_core.lexicon import NO_LEXICON, Lexicon
from orpheus_core.normaliser import normalised
from orpheus_core.prompt import cloning_prompt, preset_prompt
from orpheus_core.sampling import RANGES, Generation, checked, checked_sampling
from orpheus_core.text import clean_text, without_tags
from orpheus_core.tokens import Frames
from orpheus_core.voices import KNOWN_TAGS

Tensors = Mapping[str, npt.NDArray[Any]]
"""Inputs by name, as Triton hands them over: strings are object arrays of bytes."""

INPUTS = (
    *("text", "voice", "language", "temperature", "top_p", "repetition_penalty", "seed", "max_seconds"),
    *("reference_text", "reference_codes", "trim_silence"),
)
"""Names of the inputs of `orpheus_tts`; all but the first are optional."""

PROBE_SECONDS = 0.5

NO_LEXICONS: Mapping[str, Lexicon] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRequest:
    """Everything that one stream needs to know."""

    checkpoint: Checkpoint
    generation: Generation
    trim_silence: bool
    probe: bool


@dataclass(frozen=True, slots=True)
class _Text:
    spoken: str
    written: str
    """As the prompt has it."""


@dataclass(frozen=True, slots=True)
class _Reference:
    text: str
    """As the prompt has it."""
    frames: Frames


def parse_request(
    tensors: Tensors, checkpoints: tuple[Checkpoint, ...], lexicons: Mapping[str, Lexicon] = NO_LEXICONS, *,
    probe: bool = False,
) -> SpeechRequest:  # fmt: skip
    """The request that these inputs make.

    Args:
        tensors: the inputs that were sent, by name; optional ones may be missing.
        checkpoints: what is loaded.
        lexicons: of those checkpoints that have one, by name.
        probe: a health check: speaks briefly and counts nowhere.

    Raises:
        InvalidInput: the first input that is wrong, by name, with its value and the fix.
    """
    cloned = _both_or_none(tensors)
    choice = choose(checkpoints, language=_text(tensors, "language"), voice=_text(tensors, "voice"), cloned=cloned)
    lexicon = lexicons.get(choice.checkpoint.name, NO_LEXICON)
    reference = _reference(tensors, choice, lexicon) if cloned else None
    text = _spoken(tensors, "text", choice)
    return SpeechRequest(
        checkpoint=choice.checkpoint,
        generation=_generation(tensors, choice, _Text(text, lexicon.written(text)), reference, probe=probe),
        trim_silence=_scalar(tensors, "trim_silence", kinds="b", default=True),
        probe=probe,
    )


def _generation(
    tensors: Tensors, choice: Choice, text: _Text, reference: _Reference | None, *, probe: bool
) -> Generation:
    prompt_tokens = _prompt_tokens(choice, text.written, reference)
    given = {field: number for field in RANGES if (number := _number(tensors, field)) is not None}
    return Generation(
        prompt=_prompt(choice, text.written, reference),
        max_frames=_max_frames(tensors, choice.checkpoint, text.spoken, prompt_tokens=prompt_tokens)
        if not probe
        else frames_in(PROBE_SECONDS),
        sampling=checked_sampling(given, choice.checkpoint.sampling),
        seed=_seed(tensors),
    )


def _prompt(choice: Choice, text: str, reference: _Reference | None) -> str:
    if reference is not None:
        return cloning_prompt(reference_text=reference.text, reference_frames=reference.frames, text=text)
    return preset_prompt(voice=str(choice.voice), text=text)


def _prompt_tokens(choice: Choice, text: str, reference: _Reference | None) -> int:
    if reference is None:
        return prompt_tokens_bound(f"{choice.voice}{text}")
    return prompt_tokens_bound(reference.text + text, len(reference.frames))


def _max_frames(tensors: Tensors, checkpoint: Checkpoint, text: str, *, prompt_tokens: int) -> int:
    fitting = frames_that_fit(checkpoint, prompt_tokens)
    if fitting < 1:
        fix = f"shorten it, prompt and speech must fit {checkpoint.max_model_len} tokens"
        raise InvalidInput("text", f"about {prompt_tokens} tokens with the reference", fix)
    if (wanted := _number(tensors, "max_seconds")) is None:
        return min(budget_frames(checkpoint, text), fitting)
    return min(frames_in(checked("max_seconds", wanted, MIN_SECONDS, MAX_SECONDS)), fitting)


def _both_or_none(tensors: Tensors) -> bool:
    given = [name for name in ("reference_text", "reference_codes") if name in tensors]
    if len(given) == 1:
        missing = "reference_codes" if given[0] == "reference_text" else "reference_text"
        raise InvalidInput(missing, "missing", f"send it with {given[0]}, or neither")
    return bool(given)


def _reference(tensors: Tensors, choice: Choice, lexicon: Lexicon) -> _Reference:
    codes = _whole_numbers(tensors["reference_codes"])
    frames, rest = divmod(len(codes), TOKENS_PER_FRAME)
    if rest or not 0 < frames <= MAX_REFERENCE_FRAMES:
        fix = f"send whole frames of {TOKENS_PER_FRAME} codes, 1 to {MAX_REFERENCE_FRAMES} of them"
        raise InvalidInput("reference_codes", f"{len(codes)} codes", fix)
    wrong = codes[(codes < 0) | (codes >= CODES_PER_SLOT)]
    if len(wrong):
        fix = f"send codes 0 to {CODES_PER_SLOT - 1} in slot order, without the slot's offset"
        raise InvalidInput("reference_codes", int(wrong[0]), fix)
    text = lexicon.written(_spoken(tensors, "reference_text", choice))
    return _Reference(text, codes.reshape(-1, TOKENS_PER_FRAME))


def _spoken(tensors: Tensors, field: str, choice: Choice) -> str:
    tags = choice.checkpoint.tags_of(choice.language)
    max_chars = choice.checkpoint.max_text_chars
    given = _text(tensors, field) or ""
    if choice.checkpoint.foreign_tags == IGNORE:
        given = without_tags(given, KNOWN_TAGS.difference(tags))
    text = clean_text(field, given, tags=tags, max_chars=max_chars)
    # Cleaned again, since it may have grown beyond the cap, and whatever reaches the prompt has been looked at.
    return clean_text(field, normalised(choice.checkpoint.normaliser, field, text), tags=tags, max_chars=max_chars)


def _seed(tensors: Tensors) -> int | None:
    seed: int | None = _scalar(tensors, "seed", kinds="iu", default=None)
    if seed is not None and seed < 0:
        raise InvalidInput("seed", seed, "send 0 or more")
    return seed


def _text(tensors: Tensors, field: str) -> str | None:
    value = _scalar(tensors, field, kinds="OSU", default=None)
    if not isinstance(value, bytes):
        return None if value is None else str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidInput(field, f"{len(value)} bytes that are not UTF-8", "send UTF-8") from None


def _number(tensors: Tensors, field: str) -> float | None:
    value = _scalar(tensors, field, kinds="fiu", default=None)
    return None if value is None else float(value)


def _whole_numbers(codes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if codes.dtype.kind not in "iu":
        raise InvalidInput("reference_codes", codes.dtype, "send whole numbers (INT32)")
    return codes.reshape(-1).astype(np.int64)


def _scalar(tensors: Tensors, field: str, *, kinds: str, default: Any) -> Any:
    """The one value of an input, of one of numpy's `kinds` of types, as Python's own."""
    if field not in tensors:
        return default
    tensor = tensors[field]
    if tensor.size != 1 or tensor.dtype.kind not in kinds:
        raise InvalidInput(field, f"{tensor.size} values of {tensor.dtype}", "send one value of the documented type")
    return tensor.item()
