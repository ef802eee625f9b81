"""Voices and emotion tags of the released Orpheus checkpoints, by language.

Names as published with the checkpoints (English: the model's README; the others: Canopy's multilingual release notes).
The finetuned models answer to these names only: an unknown name is spoken by an unstable speaker, so it is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageVoices:
    """What one released language model can be asked for."""

    voices: tuple[str, ...]
    """The first is the default."""
    tags: tuple[str, ...] = ()
    """Emotion tags, without the angle brackets."""


ENGLISH_VOICES = ("tara", "leah", "jess", "leo", "dan", "mia", "zac", "zoe")
ENGLISH_TAGS = ("laugh", "chuckle", "sigh", "cough", "sniffle", "groan", "yawn", "gasp")

RELEASED: Mapping[str, LanguageVoices] = MappingProxyType(
    {
        "en": LanguageVoices(voices=ENGLISH_VOICES, tags=ENGLISH_TAGS),
        "fr": LanguageVoices(
            voices=("pierre", "amelie", "marie"),
            tags=("chuckle", "cough", "gasp", "groan", "laugh", "sigh", "sniffle", "whimper", "yawn"),
        ),
        "de": LanguageVoices(
            voices=("jana", "thomas", "max"),
            tags=("chuckle", "cough", "gasp", "groan", "laugh", "sigh", "sniffle", "yawn"),
        ),
        "es": LanguageVoices(
            voices=("javi", "sergio", "maria"),
            tags=("groan", "chuckle", "gasp", "resoplido", "laugh", "yawn", "cough"),
        ),
        "it": LanguageVoices(
            voices=("pietro", "giulia", "carlo"),
            tags=("sigh", "laugh", "cough", "sniffle", "groan", "yawn", "gemito", "gasp"),
        ),
        "ko": LanguageVoices(
            voices=("유나", "준서"),
            tags=("한숨", "헐", "헛기침", "훌쩍", "하품", "낄낄", "신음", "작은 웃음", "기침", "으르렁"),
        ),
        "hi": LanguageVoices(voices=("ऋतिका",)),
        "zh": LanguageVoices(
            voices=("长乐", "白芷"),
            tags=("嬉笑", "轻笑", "呻吟", "大笑", "咳嗽", "抽鼻子", "咳"),
        ),
    }
)

KNOWN_TAGS = frozenset(tag for language in RELEASED.values() for tag in language.tags)
"""Of any language."""
