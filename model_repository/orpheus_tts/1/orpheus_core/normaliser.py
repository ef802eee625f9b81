"""English as people type it, in the words and marks that a voice without knowledge of digits can read.

Only for checkpoints that say so: Orpheus's own read digits and abbreviations themselves. Tags are left as they are.
"""

import re
import unicodedata

from orpheus_core.errors import InvalidInput
from orpheus_core.normaliser_rules import ACRONYM, RULES, acronym
from orpheus_core.spoken_forms import LATIN_LETTERS, PUNCTUATION, SYMBOLS
from orpheus_core.text import BRACKETED

SHOUTED_WORDS = 3
"""From this many words in capitals on, and nothing else, a text shouts: its words are no acronyms."""

PUNCTUATION_CHARACTERS = frozenset(map(chr, PUNCTUATION))
SYMBOL = re.compile(f"[{re.escape(''.join(SYMBOLS))}]")
MARKS = re.compile(r"\s*([,.?!])(?:\s*[,.?!])*")


def english(field: str, text: str) -> str:
    """Lower-case words with `, . ? ! '`, ended by a mark; tags as they were.

    Raises:
        InvalidInput: letters of another script, or nothing to say.
    """
    plain = _latin(field, text)
    pieces = _split_at_tags(plain)
    spoken = " ".join(piece if _is_tag(piece) else _words(piece) for piece in pieces)
    spoken = _tidied(spoken)
    if not re.search(r"[a-z]", BRACKETED.sub("", spoken)):
        raise InvalidInput(field, text, "send at least one word or number in English")
    return spoken if spoken[-1] in ".?!>" else f"{spoken}."


def normalised(name: str, field: str, text: str) -> str:
    """The text through a checkpoint's normaliser.

    Raises:
        InvalidInput: as the normaliser; or there is none of that name.
    """
    match name:
        case "none":
            return text
        case "english":
            return english(field, text)
    raise InvalidInput("normaliser", name, "render the repository again with none or english")


def _split_at_tags(text: str) -> list[str]:
    return [piece for piece in re.split(r"(<[^<>\s][^<>]*>)", text) if piece]


def _is_tag(piece: str) -> bool:
    return piece.startswith("<") and piece.endswith(">") and BRACKETED.fullmatch(piece) is not None


def _latin(field: str, text: str) -> str:
    """Accents dropped, other scripts' digits as ours; symbols and pictures that have no name here are dropped."""
    kept = []
    for character in text:
        if character in SYMBOLS or character in PUNCTUATION_CHARACTERS or character.isascii():
            kept.append(character)
        elif character in LATIN_LETTERS:
            kept.append(LATIN_LETTERS[character])
        else:
            kept.append(_taken_apart(field, character))
    return "".join(kept)


def _taken_apart(field: str, character: str) -> str:
    if (value := unicodedata.digit(character, None)) is not None:
        return str(value)
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if c.isascii())
    if plain or unicodedata.category(character)[0] not in "L":
        return plain
    script = unicodedata.name(character, "unknown").split()[0].lower()
    raise InvalidInput(field, character, f"this voice reads English, not {script} letters: send Latin letters")


def _words(text: str) -> str:
    """One piece without tags, through all rules in their order."""
    shouting = _shouts(text)
    for rule in RULES:
        text = rule.pattern.sub(rule.say, text)
    if not shouting:
        text = ACRONYM.sub(acronym, text)
    return SYMBOL.sub(lambda m: f" {SYMBOLS[m.group()]} ", text).translate(PUNCTUATION).lower()


def _shouts(text: str) -> bool:
    words = re.findall(r"[A-Za-z]+", text)
    return len(words) >= SHOUTED_WORDS and all(word.isupper() for word in words)


def _tidied(text: str) -> str:
    """Single spaces, single marks, none at the start; what is left over is dropped."""
    parts = _split_at_tags(text)
    kept = "".join(part if _is_tag(part) else re.sub(r"[^a-z,.?!' ]+", " ", part) for part in parts)
    kept = re.sub(r"\s+", " ", kept)
    kept = MARKS.sub(_mark, kept)
    kept = re.sub(r"([,.?!])(?=[a-z<])", r"\1 ", kept)
    return kept.strip(" ,")


def _mark(match: re.Match[str]) -> str:
    """One mark of several: the first that is more than a comma."""
    return next((character for character in match.group() if character in ".?!"), ",")
