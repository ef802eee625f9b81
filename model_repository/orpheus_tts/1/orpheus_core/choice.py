"""Which checkpoint, language and voice a request means."""

from dataclasses import dataclass

from orpheus_core.checkpoint import Checkpoint
from orpheus_core.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The checkpoint that speaks, and as whom."""

    checkpoint: Checkpoint
    language: str
    voice: str | None
    """None for a cloned voice."""


def choose(checkpoints: tuple[Checkpoint, ...], *, language: str | None, voice: str | None, cloned: bool) -> Choice:
    """By reference given or not, then language, then voice.

    Raises:
        InvalidInput: nothing loaded fits; the message lists what is loaded.
    """
    able = [c for c in checkpoints if (c.can_clone if cloned else any(c.voices.values()))]
    if not able:
        fix = "leave it out, no loaded checkpoint clones" if cloned else "send one, every loaded checkpoint only clones"
        raise InvalidInput("reference_codes", "given" if cloned else "missing", fix)
    spoken = sorted({known for c in able for known in c.languages if cloned or c.voices_of(known)})
    wanted = None if language is None else _primary(language, spoken)
    if cloned:
        return _cloned(able, wanted, voice)
    return _preset(able, wanted, voice)


def _primary(language: str, spoken: list[str]) -> str:
    primary = language.strip().replace("_", "-").split("-")[0].lower()
    if primary not in spoken:
        raise InvalidInput("language", language, f"send one of {', '.join(spoken)}")
    return primary


def _cloned(able: list[Checkpoint], language: str | None, voice: str | None) -> Choice:
    if voice is not None:
        raise InvalidInput("voice", voice, "leave it out when a reference is given")
    checkpoint = next(c for c in able if language is None or language in c.languages)
    return Choice(checkpoint=checkpoint, language=language or checkpoint.languages[0], voice=None)


def _preset(able: list[Checkpoint], language: str | None, voice: str | None) -> Choice:
    speaking = [(c, spoken) for c in able for spoken in c.languages if language in (None, spoken)]
    speaking = [(c, spoken) for c, spoken in speaking if c.voices_of(spoken)]
    if voice is None:
        checkpoint, spoken = speaking[0]
        return Choice(checkpoint=checkpoint, language=spoken, voice=_default_voice(checkpoint, spoken))
    for checkpoint, spoken in speaking:
        if voice in checkpoint.voices_of(spoken):
            return Choice(checkpoint=checkpoint, language=spoken, voice=voice)
    names = ", ".join(dict.fromkeys(name for c, spoken in speaking for name in c.voices_of(spoken)))
    raise InvalidInput("voice", voice, f"send one of {names}")


def _default_voice(checkpoint: Checkpoint, language: str) -> str:
    names = checkpoint.voices_of(language)
    return checkpoint.default_voice if checkpoint.default_voice in names else names[0]
