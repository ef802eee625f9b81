"""Numbers in English words, without hyphens and without "and"."""

ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
IRREGULAR_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip

TOO_LARGE = 10**15
"""From here on a number is read digit by digit."""


def cardinal(value: int) -> str:
    """`-21` is `minus twenty one`."""
    if value < 0:
        return f"minus {cardinal(-value)}"
    if value >= TOO_LARGE:
        return digits(str(value))
    if value < len(ONES):
        return ONES[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return _joined(TENS[tens - 2], ones)
    size, name = next(scale for scale in SCALES if value >= scale[0])
    high, low = divmod(value, size)
    return _joined(f"{cardinal(high)} {name}", low)


def ordinal(value: int) -> str:
    """`21` is `twenty first`."""
    *before, last = cardinal(value).split()
    if last in IRREGULAR_ORDINALS:
        last = IRREGULAR_ORDINALS[last]
    else:
        last = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join((*before, last))


def decimal(whole: str, fraction: str) -> str:
    """`3` and `14` are `three point one four`; an empty whole part is zero."""
    return f"{cardinal(int(whole or '0'))} point {digits(fraction)}"


def digits(characters: str) -> str:
    """One by one."""
    return " ".join(ONES[int(character)] for character in characters)


def year(value: int) -> str:
    """`1984` is `nineteen eighty four`; for years of the common era below 10,000."""
    century, rest = divmod(value, 100)
    if value < 1000 or (century % 10 == 0 and rest < 10):
        return cardinal(value)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def decade(value: int) -> str:
    """`1990` and `90` are `nineteen nineties` and `nineties`."""
    words = year(value) if value >= 100 else cardinal(value)
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def _joined(words: str, rest: int) -> str:
    return f"{words} {cardinal(rest)}" if rest else words
