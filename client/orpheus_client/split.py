"""Long text in pieces that one call can speak, cut where a speaker would pause.

Cuts are made at sentence ends (sentencex); where a sentence is longer than a piece may be, at clause marks, then at
spaces; inside a word or a tag such as `<laugh>` only if that alone is longer than a piece may be. Apart from white
space, which becomes single spaces, the pieces put together are the text.
"""

import re
import unicodedata

import sentencex

MERGED_CHARS = 200
"""Sentences are put together up to this: about 13 s of speech."""

FIRST_CHARS = 20
"""The first piece is given out as soon as it has so many: speech can begin, and not with a lone "Oh."."""

_TAG = re.compile(r"<[^<>\s][^<>]{0,39}>")
_BEGUN_TAG = re.compile(r"<([^<>\s][^<>]{0,39})?$")

_ENDS = ".!?…؟۔।॥。！？｡"
_UNSPACED_ENDS = "。！？｡"
"""Those of scripts that put no space behind a sentence."""
_CLOSERS = re.escape("\"'”’»›)]」』）】*_")
_CANDIDATE = re.compile(
    rf"\n[^\S\n]*\n\s*(?=\S)"
    rf"|[{_ENDS}][{_CLOSERS}]*(?=\s)[^\S\n]*\n?[^\S\n]*(?=([^\s{_UNSPACED_ENDS}]+[\s{_UNSPACED_ENDS}]))"
    rf"|[{_UNSPACED_ENDS}][{_CLOSERS}]*(?=([^\s{_CLOSERS}{_ENDS}]))"
)
"""Where a sentence may end: at a blank line, or at an end mark with a whole word (or sign) behind it. So much is waited
for because the verdict must not depend on how the text was cut into deltas."""

_CLAUSE = re.compile(r"[,;:،؛–—](?=\s)|[、，；：]")


def split_text(text: str, max_chars: int, *, language: str = "en", enable_text_splitting: bool = True) -> list[str]:
    """The pieces of a whole text; see `TextSplitter`."""
    splitter = TextSplitter(max_chars, language=language, enable_text_splitting=enable_text_splitting)
    return [*splitter.push(text), *splitter.flush()]


class TextSplitter:
    """Text in deltas to pieces of at most `max_chars`; however the text is cut into deltas, the pieces are the same.

    Args:
        max_chars: at least 1; a checkpoint's `max_text_chars`.
        language: whose abbreviations do not end sentences.
        enable_text_splitting: false makes pieces as long as `max_chars` allows.
    """

    def __init__(self, max_chars: int, *, language: str = "en", enable_text_splitting: bool = True) -> None:
        if max_chars < 1:
            raise ValueError(f"max_chars: {max_chars}: give at least 1")
        self._sentences = _Sentences(max_chars, language)
        self._packer = _Packer(max_chars, small=enable_text_splitting)
        self._over = False

    def push(self, delta: str) -> list[str]:
        """The pieces that are certain now."""
        if self._over:
            raise RuntimeError("TextSplitter: flushed already: make a new one for a new text")
        return [piece for part in self._sentences.push(delta) for piece in self._packer.push(part)]

    def flush(self) -> list[str]:
        """The rest; nothing can be pushed any more."""
        self._over = True
        rest = [piece for part in self._sentences.flush() for piece in self._packer.push(part)]
        return rest + self._packer.flush()


class _Sentences:
    """Sentences, or parts of one that is too long, that put together are the text."""

    def __init__(self, max_chars: int, language: str) -> None:
        self._max_chars = max_chars
        self._window_chars = 2 * max_chars + 64
        """An end is searched so far; a sentence without one is cut finer before it is known whole."""
        self._language = language
        self._open = ""
        self._searched_chars = 0

    def push(self, delta: str) -> list[str]:
        self._open += delta
        parts: list[str] = []
        while True:
            window = self._open[: self._window_chars]
            if end := self._sentence_end(window):
                parts += _parts(window[:end], self._max_chars)
                self._take(end, "")
            elif len(self._open) > self._window_chars:
                part, *rest = _parts(window, self._max_chars)
                parts.append(part)
                self._take(len(window), "".join(rest))
            else:
                return parts

    def flush(self) -> list[str]:
        return _parts(self._open, self._max_chars)

    def _take(self, chars: int, rest: str) -> None:
        self._open = rest + self._open[chars:]
        self._searched_chars = 0

    def _sentence_end(self, window: str) -> int | None:
        while match := _CANDIDATE.search(window, self._searched_chars):
            self._searched_chars = match.end()
            if match.lastindex is None or self._is_end(window[: match.end(match.lastindex)], match.end()):
                return match.end()
        return None

    def _is_end(self, context: str, end: int) -> bool:
        if _BEGUN_TAG.search(context[:end].rstrip()):
            return False
        at = 0
        for sentence in sentencex.segment(self._language, context):
            at += len(sentence)
            if at >= end:
                break
        return at < len(context) and not context[min(at, end) : max(at, end)].strip()


class _Packer:
    """Parts put together to pieces."""

    def __init__(self, max_chars: int, *, small: bool) -> None:
        self._max_chars = max_chars
        self._merged_chars = min(MERGED_CHARS, max_chars) if small else max_chars
        self._enough_chars = min(FIRST_CHARS, max_chars) if small else max_chars
        """A piece that has so many is given out; few for the first, then `_merged_chars`."""
        self._held = ""

    def push(self, part: str) -> list[str]:
        pieces = []
        if len(_squeezed(self._held + part)) > (self._merged_chars if _speakable(part) else self._max_chars):
            pieces += self.flush()
        self._held += part
        if len(_squeezed(self._held)) >= self._enough_chars:
            pieces += self.flush()
        return pieces

    def flush(self) -> list[str]:
        piece, self._held = _squeezed(self._held), ""
        if not piece:
            return []
        self._enough_chars = self._merged_chars
        return [piece]


def _parts(text: str, max_chars: int) -> list[str]:
    rest = re.sub(r"\s+", " ", text)
    parts = []
    while len(rest.strip()) > max_chars:
        start = len(rest) - len(rest.lstrip())
        end = start + _finer_end(rest[start:], max_chars)
        parts.append(rest[:end])
        rest = rest[end:]
    return [*parts, rest]


def _finer_end(text: str, max_chars: int) -> int:
    tags = [match.span() for match in _TAG.finditer(text)]
    clauses = [match.end() for match in _CLAUSE.finditer(text) if match.end() > max_chars // 2]
    spaces = [at for at, character in enumerate(text) if character == " "]
    for ends in (clauses, spaces):
        if fitting := [end for end in ends if end <= max_chars and not _inside(end, tags)]:
            return fitting[-1]
    return _end_in_word(text, max_chars, tags)


def _end_in_word(text: str, max_chars: int, tags: list[tuple[int, int]]) -> int:
    """Before a tag rather than in it, and never between a sign and its accents."""
    end = next((first for first, last in tags if first < max_chars < last), max_chars) or max_chars
    whole = end
    while whole > 0 and unicodedata.category(text[whole]).startswith("M"):
        whole -= 1
    return whole or end


def _inside(at: int, spans: list[tuple[int, int]]) -> bool:
    return any(first < at < last for first, last in spans)


def _speakable(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _squeezed(text: str) -> str:
    return " ".join(text.split())
