"""Words of what was said that a recogniser heard otherwise."""

import re
from dataclasses import dataclass

from orpheus_core.errors import InvalidInput
from orpheus_core.normaliser import english


@dataclass(frozen=True, slots=True)
class Errors:
    """Of one sentence, or of many together."""

    wrong: int
    """Words put in, left out or taken for others."""
    words: int

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(self.wrong + other.wrong, self.words + other.words)

    @property
    def rate(self) -> float:
        return self.wrong / max(1, self.words)


def errors(said: str, heard: str) -> Errors:
    """How many words of what was said were heard otherwise."""
    true, found = words(said), words(heard)
    return Errors(_distance(true, found), len(true))


def words(text: str) -> list[str]:
    """In small letters, without marks; what is written in digits is spelt out."""
    try:
        return re.sub(r"[^a-z ]", "", english("text", text)).split()
    except InvalidInput:
        # Nothing that could be a word.
        return []


def _distance(true: list[str], found: list[str]) -> int:
    """Levenshtein's, over words."""
    row = list(range(len(found) + 1))
    for number, word in enumerate(true, start=1):
        before, row[0] = row[0], number
        for place, other in enumerate(found, start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1]
