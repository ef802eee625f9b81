"""Text as a caller sends it, made safe for a prompt.

The prompt reaches the language model as text, so anything in it that a tokenizer would read as a control token is an
injection. Everything in angle brackets is therefore refused unless it is a tag of the language.
"""

import re
import unicodedata
from collections.abc import Iterable

from orpheus_core.errors import InvalidInput

BRACKETED = re.compile(r"<([^<>]*)>")
"""Anything that could be a token such as `<custom_token_5>`, `<|eot_id|>` or a tag such as `<laugh>`."""

WHITE_SPACE = re.compile(r"\s+")

MAX_CHARS_READ = 8
"""Times the cap: a longer text is refused unread, whatever of it is white space."""


def clean_text(field: str, text: str, *, tags: tuple[str, ...], max_chars: int) -> str:
    """The text with runs of white space made single spaces, ready for the prompt.

    Raises:
        InvalidInput: nothing to say, too long, a control character, or brackets that are no tag of the language.
    """
    _refuse_longer(field, text, MAX_CHARS_READ * max_chars, max_chars=max_chars)
    spoken = WHITE_SPACE.sub(" ", _without_controls(field, text)).strip()
    if not _as_a_tokenizer_may_see(spoken).strip():
        raise InvalidInput(field, f"{len(text)} characters, none to speak", "send at least one word")
    _refuse_longer(field, spoken, max_chars, max_chars=max_chars)
    _refuse_tokens(field, spoken, tags)
    return spoken


def without_tags(text: str, tags: Iterable[str]) -> str:
    """The text with these tags taken out. Not clean yet: what is left may join to something else in brackets."""
    dropped = frozenset(tags)
    return BRACKETED.sub(lambda found: " " if found.group(1) in dropped else found.group(), text)


def spoken_length(text: str) -> tuple[int, int]:
    """Characters outside tags, and the number of tags."""
    return len(BRACKETED.sub("", text)), len(BRACKETED.findall(text))


def _refuse_longer(field: str, text: str, limit: int, *, max_chars: int) -> None:
    if len(text) > limit:
        raise InvalidInput(field, f"{len(text)} characters", f"send at most {max_chars} at once, longer text in pieces")


def _without_controls(field: str, text: str) -> str:
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise InvalidInput(
                field, f"control character U+{ord(character):04X}", "remove it, only tab and newline pass"
            )
    return text


def _refuse_tokens(field: str, text: str, tags: tuple[str, ...]) -> None:
    allowed = ", ".join(f"<{tag}>" for tag in tags) or "none"
    for form in (text, _as_a_tokenizer_may_see(text)):
        for match in BRACKETED.finditer(form):
            # "3 < 4 and 6 > 5" is arithmetic: no token starts with a space.
            inside = match.group(1)
            if inside not in tags and not inside.startswith(" ") and unicodedata.normalize("NFC", inside) not in tags:
                raise InvalidInput(
                    field, match.group(0), f"use a tag of this language ({allowed}) or no angle brackets"
                )


def _as_a_tokenizer_may_see(text: str) -> str:
    """Compatibility forms unfolded, accents and invisible characters dropped: what a normaliser may leave of it."""
    unfolded = unicodedata.normalize("NFKD", text)
    return "".join(c for c in unfolded if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
