"""From what was asked for to an order: who speaks, in which language, how."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from orpheus_bridge.api.services import Services
from orpheus_bridge.errors import BadRequest, NotFound, Unspeakable, from_speech
from orpheus_bridge.speech import SpeechOrder
from orpheus_bridge.voices.ports import Speaker
from orpheus_client import SpeechError
from orpheus_core.choice import Choice, choose
from orpheus_core.errors import InvalidInput

LANGUAGE_ALIASES = {"zh-cn": "zh"}
"""Names of the older service; others are matched by their primary subtag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a caller asks for, whichever API it came through."""

    text: str
    text_field: str
    max_chars: int
    voice: str
    voice_field: str
    language: str | None = None
    temperature: float | None = None
    repetition_penalty: float | None = None
    speed: float = 1.0
    enable_text_splitting: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An order, and what it was decided to mean."""

    order: SpeechOrder
    model: str
    """The checkpoint that speaks."""
    voice: str
    language: str
    fell_back: bool

    @property
    def headers(self) -> dict[str, str]:
        """Says when another voice speaks than the one asked for; percent-encoded, since headers are ASCII."""
        return {"X-Voice-Fallback": quote(self.voice)} if self.fell_back else {}


async def place(services: Services, wish: Wish) -> Placed:
    """
    Raises:
        BadRequest: the text is empty or too long, or nothing loaded speaks the language or in the voice.
        NotFound, Unspeakable: the voice is unknown, or cannot be spoken as itself.
        Unavailable: the server cannot be asked what it has loaded.
    """
    services.desk.check()
    _check_text(wish)
    language = _language(wish.language)
    speaker = await _speaker(services, wish, language)
    choice = await _choice(services, wish, speaker, language)
    if speaker.fell_back:
        services.metrics.fell_back()
    order = SpeechOrder(
        text=wish.text,
        voice=choice.voice,
        reference=speaker.reference,
        language=choice.language,
        temperature=wish.temperature,
        repetition_penalty=wish.repetition_penalty,
        speed=wish.speed,
        enable_text_splitting=wish.enable_text_splitting,
    )
    return Placed(
        order=order,
        model=choice.checkpoint.name,
        voice=speaker.name or choice.voice or wish.voice,
        language=choice.language,
        fell_back=speaker.fell_back,
    )


def _check_text(wish: Wish) -> None:
    if len(wish.text) > wish.max_chars:
        message = f"{wish.text_field}: {len(wish.text)} characters: send 1 to {wish.max_chars}"
        raise BadRequest(message, param=wish.text_field)
    try:
        wish.text.encode()
    except UnicodeEncodeError:
        message = f"{wish.text_field}: half of a surrogate pair: send whole characters"
        raise BadRequest(message, param=wish.text_field) from None
    if not wish.text.strip():
        raise BadRequest(f"{wish.text_field}: nothing to say: send at least one word", param=wish.text_field)


def _language(given: str | None) -> str | None:
    return None if given is None else LANGUAGE_ALIASES.get(given.lower(), given)


async def _speaker(services: Services, wish: Wish, language: str | None) -> Speaker:
    try:
        return await services.voices.speaker(wish.voice, language)
    except (NotFound, Unspeakable) as error:
        raise type(error)(_renamed(error, "voice_id", wish.voice_field), param=wish.voice_field) from None


def _renamed(error: Exception, field: str, given: str) -> str:
    """The message, with the field's name in the API that was asked."""
    return re.sub(rf"^{field}:", f"{given}:", str(error))


async def _choice(services: Services, wish: Wish, speaker: Speaker, language: str | None) -> Choice:
    cloned = speaker.reference is not None
    voice = None if cloned else speaker.name
    try:
        checkpoints = await services.engine.checkpoints()
        return choose(checkpoints, language=speaker.language or language, voice=voice, cloned=cloned)
    except SpeechError as error:
        raise from_speech(error) from None
    except InvalidInput as error:
        field = wish.voice_field if error.field == "voice" else error.field
        raise BadRequest(_renamed(error, error.field, field), param=field) from None
