"""Who speaks when a voice is asked for: alias, preset, stored voice, in this order."""

from collections.abc import Iterable, Mapping

from orpheus_bridge.errors import BadRequest, NotFound
from orpheus_bridge.voices.store import VoiceRow
from orpheus_core.checkpoint import Checkpoint
from orpheus_core.choice import Choice, choose
from orpheus_core.errors import InvalidInput, shown

Checkpoints = tuple[Checkpoint, ...]

DEFAULT = "default"
"""An alias, whatever rows exist."""

LISTED = 30
"""Names in an error at most."""


def meant(voice_id: str, aliases: Mapping[str, str], default_voice: str | None) -> str | None:
    """What a voice id stands for: a preset's or a stored voice's name; None: the checkpoint's default voice.

    An alias may lead to `default`, but to no other alias.
    """
    name = voice_id if voice_id == DEFAULT else aliases.get(voice_id, voice_id)
    return default_voice if name == DEFAULT else name


def presets(checkpoints: Checkpoints) -> dict[str, tuple[str, str]]:
    """Every preset by name: the first language and the checkpoint that have it."""
    known: dict[str, tuple[str, str]] = {}
    for checkpoint in checkpoints:
        for language in checkpoint.languages:
            for name in checkpoint.voices_of(language):
                known.setdefault(name, (language, checkpoint.name))
    return known


def choose_preset(checkpoints: Checkpoints, name: str | None, language: str | None) -> Choice:
    """A preset, or without a name the language's default voice.

    Raises:
        errors.BadRequest: it does not speak this language, or nothing loaded does; with what is loaded.
    """
    try:
        return choose(checkpoints, language=language, voice=name, cloned=False)
    except InvalidInput as error:
        raise BadRequest(str(error), param=error.field) from None


def choose_default(checkpoints: Checkpoints, name: str | None, language: str | None) -> Choice:
    """The preset of this name where it speaks the language, else the language's default voice.

    Raises:
        errors.BadRequest: nothing loaded speaks this language.
    """
    try:
        return choose_preset(checkpoints, name, language)
    except BadRequest:
        return choose_preset(checkpoints, None, language)


def known_language(checkpoints: Checkpoints, language: str | None) -> str | None:
    """The primary subtag of a language that something loaded speaks.

    Raises:
        errors.BadRequest: nothing does; with those that are spoken.
    """
    if language is None:
        return None
    primary = language.strip().replace("_", "-").split("-")[0].lower()
    spoken = sorted({known for checkpoint in checkpoints for known in checkpoint.languages})
    if primary not in spoken:
        raise BadRequest(f"language: {shown(language)}: send one of {', '.join(spoken)}", param="language")
    return primary


def cloning_checkpoint(checkpoints: Checkpoints, language: str | None) -> Checkpoint | None:
    """The checkpoint that would speak a stored voice of this language as itself, if there is one."""
    try:
        return choose(checkpoints, language=language, voice=None, cloned=True).checkpoint
    except InvalidInput:
        return None


def cloning_choice(checkpoints: Checkpoints, row: VoiceRow, language: str | None) -> Choice | str:
    """The checkpoint that speaks a stored voice as itself, or the reason why none does."""
    try:
        choice = choose(checkpoints, language=language or row.language, voice=None, cloned=True)
    except InvalidInput:
        if not any(checkpoint.can_clone for checkpoint in checkpoints):
            return "no loaded checkpoint clones voices"
        return f"no loaded checkpoint clones voices in {shown(language or row.language)}"
    if row.transcript is None:
        return "it has no transcript: set one"
    if len(row.transcript) > choice.checkpoint.max_text_chars:
        return f"its transcript is longer than the checkpoint's {choice.checkpoint.max_text_chars} characters"
    if not row.has_codes:
        return "its recording is not encoded yet: try again in a minute"
    return choice


def nobody(voice_id: str, checkpoints: Checkpoints, stored: Iterable[str]) -> NotFound:
    """The error for an id that nobody has."""
    known = list(dict.fromkeys([DEFAULT, *presets(checkpoints), *stored]))
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return NotFound(
        f"voice_id: {shown(voice_id)}: no such voice: use one of {', '.join(known[:LISTED])}{more}", param="voice_id"
    )
