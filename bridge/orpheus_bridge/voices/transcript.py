"""What may stand as the transcript of a recording."""

from inspect import signature

from orpheus_bridge.errors import BadRequest
from orpheus_core.checkpoint import Checkpoint
from orpheus_core.errors import InvalidInput
from orpheus_core.normaliser import normalised
from orpheus_core.text import MAX_CHARS_READ, clean_text

FIELD = "transcript"

USUAL_CHARS: int = signature(Checkpoint).parameters["max_text_chars"].default
"""What a checkpoint takes unless its profile says otherwise: the limit where none that clones is known."""


def checked_transcript(text: str, checkpoint: Checkpoint | None) -> str:
    """A transcript as it may stand in a prompt.

    Args:
        checkpoint: the one that would speak from it; None: not known, or none clones.

    Raises:
        errors.BadRequest: nothing to say, too long, a control character or a token in it.
    """
    limit = checkpoint.max_text_chars if checkpoint else USUAL_CHARS
    _refuse_longer(len(text), MAX_CHARS_READ * limit, limit=limit)
    try:
        cleaned = clean_text(FIELD, text, tags=(), max_chars=max(1, len(text)))
        _refuse_longer(len(cleaned), limit, limit=limit)
        written = normalised(checkpoint.normaliser, FIELD, cleaned) if checkpoint else cleaned
    except InvalidInput as error:
        raise BadRequest(str(error), param=FIELD) from None
    _refuse_longer(len(written), limit, limit=limit, how=" with its numbers and signs written out")
    return cleaned


def obstacle(text: str, checkpoint: Checkpoint) -> str | None:
    """Why this checkpoint cannot speak from a transcript that is stored, if it cannot."""
    try:
        checked_transcript(text, checkpoint)
    except BadRequest as error:
        return f"its {error}"
    return None


def _refuse_longer(chars: int, most: int, *, limit: int, how: str = "") -> None:
    if chars > most:
        message = f"{FIELD}: {chars} characters{how}: send at most {limit}, and a recording of no more than that"
        raise BadRequest(message, param=FIELD)
