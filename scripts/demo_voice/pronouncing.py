"""The lexicon: how words are written in prompts, by the teacher's own dictionary and letter-to-sound rules."""

import ctypes
import re
from collections.abc import Iterable
from ctypes import c_char_p, c_void_p
from pathlib import Path
from typing import Any

from demo_voice.flite import FliteVoice, library
from demo_voice.phones import PAUSE, PHONES, STRESS, SYMBOLS, VOWEL_PHONES
from demo_voice.sentences import WORDNET
from demo_voice.settings import VOICES
from demo_voice.store import key, write_atomically
from orpheus_core.lexicon import WORD, Lexicon

WORD_LIST = Path("/usr/share/dict/american-english")
WORDNET_INDEXES = ("index.adj", "index.adv", "index.noun", "index.verb")
MAX_WORD_CHARS = 24

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "lex_lookup": (c_void_p, [c_void_p, c_char_p, c_char_p, c_void_p]),
    "val_car": (c_void_p, [c_void_p]),
    "val_cdr": (c_void_p, [c_void_p]),
    "val_string": (c_char_p, [c_void_p]),
    "delete_val": (None, [c_void_p]),
}


def make_lexicon(cache: Path, texts: Iterable[str]) -> Lexicon:
    """Of the words of the texts, a word list and WordNet; made once for the same words."""
    words = sorted(_words(texts))
    path = cache / f"lexicon-{key(words)}.txt"
    if not path.exists():
        lexicon = Lexicon(Pronouncer().spellings(words))
        write_atomically(path, lambda draft: draft.write_text(lexicon.dump(), encoding="utf-8"))
    return Lexicon.parse(path.read_text(encoding="utf-8"))


class Pronouncer:
    """flite's dictionary; words with an apostrophe are spoken, since flite takes those apart before it looks them
    up."""

    def __init__(self) -> None:
        """
        Raises:
            RecipeError: flite is not installed.
        """
        self._voice = FliteVoice(VOICES[0].teacher)
        self._library = library("libflite.so.1")
        for function, (result, arguments) in _SIGNATURES.items():
            getattr(self._library, function).restype = result
            getattr(self._library, function).argtypes = arguments
        begin = library("libflite_cmulex.so.1").cmu_lex_init
        begin.restype = c_void_p
        self._dictionary = begin()

    def spellings(self, words: Iterable[str]) -> dict[str, str]:
        """Of each word that has at least one phone."""
        found = {word: spelled(self._spoken(word) if "'" in word else self._looked_up(word)) for word in words}
        return {word: spelling for word, spelling in found.items() if spelling}

    def _spoken(self, word: str) -> list[str]:
        return [PHONES[number] for number in self._voice.speak(word).phones if number != PAUSE]

    def _looked_up(self, word: str) -> list[str]:
        """Phones with a digit for their stress."""
        first = self._library.lex_lookup(self._dictionary, word.encode("ascii"), None, None)
        phones, cell = [], first
        while cell:
            phones.append(self._library.val_string(self._library.val_car(cell)).decode())
            cell = self._library.val_cdr(cell)
        if first:
            self._library.delete_val(ctypes.c_void_p(first))
        return phones


def spelled(phones: list[str]) -> str:
    """One character a phone; a mark before the stressed vowels of words that have more than one vowel."""
    names = [phone.rstrip("012") for phone in phones]
    marked = sum(name in VOWEL_PHONES for name in names) > 1
    return "".join(
        (STRESS if marked and phone.endswith("1") else "") + SYMBOLS[name]
        for phone, name in zip(phones, names, strict=True)
    )


def _words(texts: Iterable[str]) -> set[str]:
    found = {word for text in texts for word in WORD.findall(text)}
    found |= set(WORD.findall(WORD_LIST.read_text(encoding="utf-8").lower()))
    for name in WORDNET_INDEXES:
        found |= set(re.findall(r"^([a-z]+) ", (WORDNET / name).read_text(encoding="utf-8"), flags=re.MULTILINE))
    return {word for word in found if (len(word) <= MAX_WORD_CHARS and not word.endswith("'s")) or word in _CONTRACTED}


_CONTRACTED = frozenset(("it's", "that's", "he's", "she's", "what's", "there's", "here's", "let's", "who's", "where's"))
"""Other words with this ending are their stem and the ending's letters."""
