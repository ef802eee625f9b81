"""What one Triton serves: the list of checkpoints, in the `checkpoints` parameter of `orpheus_tts`'s configuration.

The renderer writes the list, the BLS reads it from its model configuration, client and bridge by gRPC `ModelConfig`.
It is ASCII JSON: an array of objects with the fields of `Checkpoint`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from orpheus_core.errors import InvalidInput
from orpheus_core.layout import DECODER_BUCKET_FRAMES, SNAC_RECEPTIVE_FIELD_SAMPLES

PARAMETER = "checkpoints"
"""Name of the entry under `parameters` in `orpheus_tts`'s config.pbtxt."""


REFUSE, IGNORE = "refuse", "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling defaults of a checkpoint; Orpheus's own are the defaults here."""

    temperature: float = 0.6
    top_p: float = 0.9
    repetition_penalty: float = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much speech a text may take: `base_s + per_char_s * characters + per_tag_s * tags`."""

    base_s: float = 2.0
    per_char_s: float = 0.12
    per_tag_s: float = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopRule:
    """When repeated frames count as a loop: a pattern of at most `max_period_frames` frames that fills at least
    `min_span_frames` frames and stands there at least `min_repeats` times."""

    max_period_frames: int = 12
    min_span_frames: int = 36
    min_repeats: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """The Triton model that turns codes into audio."""

    model: str = "snac_decoder"
    receptive_field_samples: int = SNAC_RECEPTIVE_FIELD_SAMPLES
    """How far a code reaches beyond its frame, to each side."""
    bucket_frames: tuple[int, ...] = DECODER_BUCKET_FRAMES
    """The lengths F that are asked for, ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One language model with everything that depends on it."""

    name: str
    model: str
    """Its Triton model: `orpheus_llm`, further ones `orpheus_llm_<name>`."""
    stop_token_ids: tuple[int, ...]
    """From the checkpoint's own tokenizer, never a constant: one outside the vocabulary harms neighbours in vLLM."""
    languages: tuple[str, ...]
    """Primary BCP-47 subtags, lower case; the first is the default."""
    voices: Mapping[str, tuple[str, ...]]
    """Voice names by language."""
    default_voice: str
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Emotion tags by language, without the angle brackets."""
    foreign_tags: str = REFUSE
    """What happens to a tag that another released checkpoint renders and this one does not: `refuse` or `ignore`."""
    sampling: Sampling = Sampling()
    can_clone: bool = False
    max_model_len: int = 8192
    """Tokens of prompt, reference and speech together."""
    max_text_chars: int = 400
    budget: Budget = Budget()
    loop: LoopRule = LoopRule()
    decoder: Decoder = Decoder()
    normaliser: str = "none"
    """Name of the text normaliser that runs before the prompt: `none` or `english`."""
    lexicon: str = ""
    """File beside `model.py` with the spellings that its prompts have for words; empty if it has none."""

    def voices_of(self, language: str) -> tuple[str, ...]:
        """Voice names of one language."""
        return self.voices.get(language, ())

    def tags_of(self, language: str) -> tuple[str, ...]:
        """Tags of one language, without brackets."""
        return self.tags.get(language, ())


def dump_checkpoints(checkpoints: tuple[Checkpoint, ...]) -> str:
    """The list as ASCII JSON on one line."""
    return json.dumps([asdict(c) for c in checkpoints], ensure_ascii=True, separators=(",", ":"))


def load_checkpoints(text: str) -> tuple[Checkpoint, ...]:
    """The list from its JSON.

    Raises:
        InvalidInput: not JSON, empty, or an object with missing or unknown fields.
    """
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise InvalidInput(PARAMETER, text, f"render the repository again, this is not JSON ({error})") from None
    if not isinstance(entries, list) or not entries:
        raise InvalidInput(PARAMETER, text, "render the repository again, a list of checkpoints was expected")
    return tuple(_checkpoint(entry) for entry in entries)


def _checkpoint(entry: Any) -> Checkpoint:
    if not isinstance(entry, dict):
        raise InvalidInput(PARAMETER, entry, "render the repository again, an object per checkpoint was expected")
    known = {f.name for f in fields(Checkpoint)}
    if unknown := sorted(entry.keys() - known):
        raise InvalidInput(f"{PARAMETER}.{unknown[0]}", entry[unknown[0]], "no such field; render the repository again")
    try:
        return Checkpoint(**{name: _field(name, value) for name, value in entry.items()})
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise InvalidInput(PARAMETER, entry.get("name"), f"{error}; render the repository again") from None


def _field(name: str, value: Any) -> Any:
    read = _READERS.get(name)
    return value if read is None else read(value)


def _names_by_language(value: Any) -> Mapping[str, tuple[str, ...]]:
    return {language: tuple(names) for language, names in value.items()}


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "stop_token_ids": tuple,
    "languages": tuple,
    "voices": _names_by_language,
    "tags": _names_by_language,
    "sampling": lambda value: Sampling(**value),
    "budget": lambda value: Budget(**value),
    "loop": lambda value: LoopRule(**value),
    "decoder": lambda value: Decoder(**{**value, "bucket_frames": tuple(value["bucket_frames"])}),
}
