"""What may stand as the transcript of a recording."""

from orpheus_bridge.errors import BadRequest
from orpheus_core.errors import InvalidInput
from orpheus_core.text import clean_text

MAX_TRANSCRIPT_CHARS = 1000
"""Fast speech of 30 s is about 600."""


def checked_transcript(text: str) -> str:
    """A transcript as it may stand in a prompt.

    Raises:
        errors.BadRequest: nothing to say, too long, a control character or a token in it.
    """
    try:
        return clean_text("transcript", text, tags=(), max_chars=MAX_TRANSCRIPT_CHARS)
    except InvalidInput as error:
        raise BadRequest(str(error), param="transcript") from None
