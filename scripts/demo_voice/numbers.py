"""Random numbers, times, dates and sums in words, with the frequencies of everyday speech."""

import random

from demo_voice.wordlists import CURRENCIES, DAYS
from orpheus_core.numerals import ONES, cardinal, ordinal, year
from orpheus_core.spoken_forms import LETTERS, MONTHS


def number(rng: random.Random) -> str:
    """Small ones are the most frequent."""
    highest = rng.choices((12, 99, 999, 9_999, 999_999, 9_999_999), (5, 6, 4, 3, 2, 1))[0]
    return cardinal(rng.randint(0, highest))


def decimal(rng: random.Random) -> str:
    return f"{cardinal(rng.randint(0, 99))} point {' '.join(ONES[rng.randint(0, 9)] for _ in range(rng.randint(1, 2)))}"


def clock(rng: random.Random) -> str:
    """A time of day."""
    hour, minute = rng.randint(1, 12), rng.randint(0, 59)
    match rng.randint(0, 5):
        case 0:
            return f"{ONES[hour]} o'clock"
        case 1:
            return f"half past {ONES[hour]}"
        case 2:
            minutes = rng.choice(("quarter", cardinal(rng.randint(2, 29))))
            return f"{minutes} {rng.choice(('past', 'to'))} {ONES[hour]}"
    minutes = "oh " + ONES[minute] if 0 < minute < 10 else cardinal(minute) if minute else ""
    return " ".join(part for part in (ONES[hour], minutes, rng.choice(("", "ay em", "pee em"))) if part)


def date(rng: random.Random) -> str:
    month, day = rng.choice(MONTHS), ordinal(rng.randint(1, 31))
    return rng.choice((
        f"{month} {day}", f"the {day} of {month}", f"{rng.choice(DAYS)}, {month} {day}",
        f"{month} {day}, {some_year(rng)}",
    ))  # fmt: skip


def some_year(rng: random.Random) -> str:
    return year(rng.randint(1700, 2049))


def money(rng: random.Random) -> str:
    amount = cardinal(rng.choice((rng.randint(2, 99), rng.randint(100, 9999))))
    match rng.randint(0, 2):
        case 0:
            return f"{amount} dollars and {cardinal(rng.randint(2, 99))} cents"
        case 1:
            return f"{amount} {rng.choice(('euros', 'pounds', 'dollars'))}"
    return f"{amount} {rng.choice(CURRENCIES)}"


def digits(rng: random.Random) -> str:
    """A telephone number or code, digit by digit."""
    return " ".join(ONES[rng.randint(0, 9)] for _ in range(rng.randint(3, 8)))


def acronym(rng: random.Random) -> str:
    return " ".join(LETTERS[rng.choice("abcdefghijklmnopqrstuvwxyz")] for _ in range(rng.randint(2, 4)))
