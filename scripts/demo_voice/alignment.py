"""Which letter, or phone of a spelling, each spoken phone is read from: a monotone alignment by dynamic programming
over a hand-made table."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from demo_voice.phones import PHONE_IDS, PHONES, SYMBOLS, VOWEL_PHONES

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOWELS = "aeiouy"
MARKS = ",.?!"

_SPELLINGS = {
    "pau": MARKS, "aa": "oa", "ae": "a", "ah": "uoa", "ao": "oau", "aw": "ou", "ax": "aeiou", "ay": "iy", "b": "b",
    "ch": "ct", "d": "d", "dh": "t", "eh": "ea", "er": "eiour", "ey": "aey", "f": "fp", "g": "gx", "hh": "hw",
    "ih": "iey", "iy": "eiy", "jh": "jgd", "k": "kcqx", "l": "l", "m": "m", "n": "nk", "ng": "n", "ow": "o", "oy": "o",
    "p": "p", "r": "rw", "s": "scxz", "sh": "sctx", "t": "td", "th": "t", "uh": "ou", "uw": "uoew", "v": "vf",
    "w": "wuoq", "y": "yuie", "z": "zsx", "zh": "sgz",
}  # fmt: skip
"""Letters that a phone is commonly written with."""

_FAR, _NEAR = 4.0, 1.0
_REPEAT = 0.8
"""For a letter that gives two phones, as x does."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def letters_of_phones(text: str, phones: npt.NDArray[np.integer[Any]]) -> Ints:
    """For each phone the index in `text` of the letter that it is read from, never decreasing, [S]."""
    costs = _affinity()[phones][:, [_column(c) for c in text]]
    skipped = np.concatenate(([0.0], np.cumsum([_skip_cost(c) for c in text])))
    best = costs[0] + skipped[:-1]
    origins = np.zeros((len(phones), len(text)), dtype=np.int64)
    for phone in range(1, len(phones)):
        best, origins[phone] = _advance(best, costs[phone], skipped)
    return _traced(origins, int(np.argmin(best + skipped[-1] - skipped[1:])))


def _advance(best: Floats, costs: Floats, skipped: Floats) -> tuple[Floats, Ints]:
    """One more phone: from the same letter, or from any earlier one at the price of the letters between."""
    reach = best - skipped[1:]
    earliest = np.minimum.accumulate(reach)
    places = np.arange(len(best))
    holder = np.maximum.accumulate(np.where(reach == earliest, places, 0))
    moved = np.full_like(best, np.inf)
    moved[1:] = earliest[:-1] + skipped[1:-1]
    stayed = best + _REPEAT
    origin = np.where(stayed <= moved, places, np.concatenate(([0], holder[:-1])))
    return np.minimum(stayed, moved) + costs, origin


def _traced(origins: Ints, last: int) -> Ints:
    path = np.empty(len(origins), dtype=np.int64)
    for phone in range(len(origins) - 1, -1, -1):
        path[phone] = last
        last = int(origins[phone, last])
    return path


def _skip_cost(character: str) -> float:
    if character in MARKS:
        return 0.3
    if character in _SYMBOLS:
        return 1.0
    if character not in LETTERS:
        return 0.05
    return 0.3 if character in "eh" else 0.5 if character in VOWELS else 0.8


def _column(character: str) -> int:
    place = (LETTERS + _SYMBOLS).find(character)
    return place if place >= 0 else _MARK if character in MARKS else _OTHER


_SYMBOLS = "".join(SYMBOLS.values())
_MARK = len(LETTERS) + len(_SYMBOLS)
_OTHER = _MARK + 1


@cache
def _affinity() -> Floats:
    """Cost of reading a phone from a letter, a phone of a spelling, a mark, or anything else: [phones, 26 + 40 + 2]."""
    table = np.full((len(PHONES), _OTHER + 1), _FAR)
    for phone, spellings in _SPELLINGS.items():
        row = table[PHONE_IDS[phone]]
        for character in spellings:
            row[_column(character)] = 0.0
        if phone in VOWEL_PHONES:
            for vowel in VOWELS:
                row[_column(vowel)] = min(row[_column(vowel)], _NEAR)
            # Unstressed vowels are spoken as another one.
            row[[_column(SYMBOLS[other]) for other in VOWEL_PHONES]] = _NEAR
        if phone in SYMBOLS:
            row[_column(SYMBOLS[phone])] = 0.0
    table[PHONE_IDS["pau"], _OTHER] = _NEAR
    return table
