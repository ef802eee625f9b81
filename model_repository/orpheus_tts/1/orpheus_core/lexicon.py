"""How a checkpoint wants words written: spellings, in phones for instance, that stand in its prompts for the words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orpheus_core.errors import InvalidInput
from orpheus_core.text import BRACKETED

WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
"""As a normaliser writes words: lower case, with apostrophes inside."""

_PIECE = re.compile(f"{BRACKETED.pattern}|{WORD.pattern}")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Spellings by word. A word that is not in it stays as it is, and the checkpoint must read its letters."""

    spellings: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> "Lexicon":
        """From lines of a word, a tab and its spelling.

        Raises:
            InvalidInput: a line that is none.
        """
        spellings = {}
        for number, line in enumerate(text.splitlines(), start=1):
            word, tab, spelling = line.partition("\t")
            if not (tab and spelling and WORD.fullmatch(word)):
                raise InvalidInput("lexicon", f"line {number}: {line!r}", "a lower-case word, a tab and its spelling")
            spellings[word] = spelling
        return cls(spellings)

    @property
    def bytes_per_char(self) -> float:
        """How long its words become in a prompt, on average; at least 1."""
        letters = sum(map(len, self.spellings))
        return (
            max(1.0, sum(len(spelling.encode()) for spelling in self.spellings.values()) / letters) if letters else 1.0
        )

    def dump(self) -> str:
        """What `parse` reads, in the words' order."""
        return "".join(f"{word}\t{spelling}\n" for word, spelling in sorted(self.spellings.items()))

    def written(self, text: str) -> str:
        """The text with its words respelled; marks, spaces and tags as they were."""
        return _PIECE.sub(lambda found: self.spelling(found.group()), text)

    def spelling(self, word: str) -> str:
        """Of one word; what follows an apostrophe may be read from its letters."""
        if (whole := self.spellings.get(word)) is not None:
            return whole
        stem, apostrophe, rest = word.partition("'")
        return f"{self.spellings.get(stem, stem)}{apostrophe}{rest}"


NO_LEXICON = Lexicon({})
"""Every word as it is."""
