"""OpenAI's names of models and voices, and what they mean here."""

from collections.abc import Mapping
from types import MappingProxyType

from orpheus_bridge.api.services import Services
from orpheus_bridge.errors import NotFound

MODEL = "orpheus"
"""Whatever is loaded; the voice decides."""

MODEL_ALIASES = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")

VOICE_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "alloy": "tara",
        "ash": "leo",
        "ballad": "dan",
        "cedar": "zac",
        "coral": "leah",
        "echo": "zac",
        "fable": "dan",
        "marin": "mia",
        "nova": "jess",
        "onyx": "leo",
        "sage": "mia",
        "shimmer": "zoe",
        "verse": "leo",
    }
)
"""Presets of the released English checkpoint; where one is not loaded, the default voice speaks."""

DEFAULT_VOICE = "default"


async def voice_id(services: Services, name: str) -> str:
    """The id that a caller of OpenAI's API means: one that is known here before an alias.

    Raises:
        NotFound: neither.
    """
    if not services.options.openai_aliases or name not in VOICE_ALIASES:
        return name
    for candidate in (name, VOICE_ALIASES[name]):
        if await _is_known(services, candidate):
            return candidate
    return DEFAULT_VOICE


def model_names(services: Services, checkpoints: tuple[str, ...]) -> tuple[str, ...]:
    """Every name that `model` may have."""
    aliases = MODEL_ALIASES if services.options.openai_aliases else ()
    return tuple(dict.fromkeys((MODEL, *checkpoints, *aliases)))


async def _is_known(services: Services, candidate: str) -> bool:
    try:
        await services.voices.find(candidate)
    except NotFound:
        return False
    return True
