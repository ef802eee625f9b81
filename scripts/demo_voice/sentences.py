"""The texts: assistant phrases, prose and questions, all in lower case, with held-out sets that no stage trains on."""

import hashlib
import random
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo_voice.templates import QUESTIONS, STATEMENTS, phrases

FORTUNES = Path("/usr/share/games/fortunes")
WORDNET = Path("/usr/share/wordnet")

ASSISTANT, PROSE, QUESTION = "assistant", "prose", "question"
KINDS = (ASSISTANT, PROSE, QUESTION)

MIN_CHARS, MAX_CHARS = 8, 190
HELD_OUT_ONE_IN = 50
ASSISTANT_COUNT = 16_000
QUESTION_COUNT = 6_000

LEFT_OUT = (
    "ascii-art",
    "perl",
    "zippy",
    "songs-poems",
    "translate-me",
    "knghtbrd",
    "debian",
    "drugs",
    "ethnic",
    "sports",
)
"""Fortunes that are no English prose."""

_ALLOWED = re.compile(r"[a-z,.?!' ]+")
_MARKS = str.maketrans({";": ",", ":": ",", "-": " ", "(": ",", ")": ",", "/": " ", "`": "'", '"': " ", "_": " "})
_QUOTED = re.compile(r'"([^"]+)"')
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+(?=[\"'A-Z])")


@dataclass(frozen=True, slots=True)
class Texts:
    """All sentences, each once."""

    training: tuple[str, ...]
    """In an order that mixes the kinds: any beginning of it has all of them."""
    held_out: Mapping[str, tuple[str, ...]]
    """By kind."""


def all_texts(seed: int) -> Texts:
    """Every sentence that the sources give; the same for the same seed and packages."""
    by_kind: dict[str, dict[str, None]] = {kind: {} for kind in KINDS}
    for sentence in _prose():
        by_kind[QUESTION if sentence.endswith("?") else PROSE][sentence] = None
    by_kind[ASSISTANT].update(dict.fromkeys(phrases(STATEMENTS, ASSISTANT_COUNT, seed)))
    by_kind[QUESTION].update(dict.fromkeys(phrases(QUESTIONS, QUESTION_COUNT, seed + 1)))
    rng = random.Random(seed)  # noqa: S311  (no secret)
    held_out = {kind: _shuffled((s for s in found if is_held_out(s)), rng) for kind, found in by_kind.items()}
    training = (s for found in by_kind.values() for s in found if not is_held_out(s))
    return Texts(tuple(_shuffled(dict.fromkeys(training), rng)), {kind: tuple(s) for kind, s in held_out.items()})


def is_held_out(sentence: str) -> bool:
    """By the sentence itself: it stays held out however the corpus grows."""
    return int(hashlib.sha256(sentence.encode()).hexdigest(), 16) % HELD_OUT_ONE_IN == 0


def tidy(text: str) -> str | None:
    """A sentence in the characters that the voice knows, ended by a mark; None if it cannot be said so."""
    plain = unicodedata.normalize("NFKD", text.replace("--", ", ")).encode("ascii", "ignore").decode()
    plain = re.sub(r"[,\s]*,[,\s]*", ", ", plain.translate(_MARKS))
    plain = re.sub(r"\.{2,}", ".", re.sub(r"\s+", " ", plain)).strip(" ,'")
    plain = re.sub(r"\s+([,.?!])", r"\1", plain)
    if not plain or (len(plain) > 1 and re.search(r"\b[A-Z]{2,}\b", plain)):
        return None
    plain = plain.lower() + ("" if plain[-1] in ".?!" else ".")
    fits = MIN_CHARS <= len(plain) <= MAX_CHARS
    return plain if fits and _ALLOWED.fullmatch(plain) and re.search("[aeiouy]", plain) else None


def _prose() -> Iterator[str]:
    for text in (*_fortunes(), *_wordnet_examples()):
        if sentence := tidy(text):
            yield sentence


def _fortunes() -> Iterator[str]:
    for path in sorted(FORTUNES.iterdir()):
        if path.suffix or path.name in LEFT_OUT or path.is_symlink():
            continue
        for piece in path.read_text(encoding="utf-8", errors="ignore").split("\n%\n"):
            # The author's name follows after a dash.
            body = re.split(r"\n\s*--", piece)[0]
            yield from _SENTENCE_END.split(re.sub(r"\s+", " ", body).strip())


def _wordnet_examples() -> Iterator[str]:
    for name in ("data.adj", "data.adv", "data.noun", "data.verb"):
        for line in (WORDNET / name).read_text(encoding="utf-8", errors="ignore").splitlines():
            yield from (quoted for quoted in _QUOTED.findall(line.partition("|")[2]) if quoted.count(" ") >= 2)


def _shuffled(sentences: Iterable[str], rng: random.Random) -> list[str]:
    found = list(sentences)
    rng.shuffle(found)
    return found
