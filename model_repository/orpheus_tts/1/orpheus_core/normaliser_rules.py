"""What is written short in English, and how it is said: a list of rules, applied in its order."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orpheus_core.numerals import cardinal, decade, decimal, digits, ordinal, year
from orpheus_core.spoken_forms import (
    ABBREVIATIONS,
    CURRENCIES,
    CURRENCY_CODES,
    DAY_ABBREVIATIONS,
    DOTTED,
    LETTERS,
    MONTH_ABBREVIATIONS,
    MONTHS,
    NEEDS_NUMBER,
    OWN_FORMS,
    SAID_AS_WORDS,
    UNITS,
)

Match = re.Match[str]

LONGEST_ACRONYM = 5
ADDRESS_MARKS = {"@": "at", ".": "dot", "/": "slash", ":": "colon", "_": "underscore", "-": "dash"}
OCLOCK = "o'clock"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is written one way and said another."""

    pattern: re.Pattern[str]
    say: Callable[[Match], str]


def _number(written: str) -> str:
    """A number with optional thousands' commas, fraction and sign."""
    sign = "minus " if written.startswith("-") else ""
    whole, dot, fraction = written.lstrip("-+").replace(",", "").partition(".")
    if dot and fraction:
        return sign + decimal(whole, fraction)
    return sign + (digits(whole) if len(whole) > 1 and whole.startswith("0") else cardinal(int(whole)))


def _is_one(written: str) -> bool:
    return written.replace(",", "") == "1"


def _address(match: Match) -> str:
    """A URL or e-mail address, minimally: names, dots and slashes."""
    written = re.sub(r"^(?:https?://)?(?:www\.)?", "", match.group(), flags=re.IGNORECASE).rstrip("/")
    spoken = re.sub(r"[@./:_-]", lambda m: f" {ADDRESS_MARKS[m.group()]} ", written)
    return re.sub(r"\d+", lambda m: f" {digits(m.group())} ", re.sub(r"[?#=&%].*", "", spoken))


def _date(day: str, month: int, spoken_year: str | None) -> str:
    spoken = f"{MONTHS[month - 1]} {ordinal(int(day))}"
    return f"{spoken}, {_year_of(spoken_year)}" if spoken_year else spoken


def _year_of(written: str) -> str:
    value = int(written)
    return year(value if len(written) == 4 else value + (2000 if value < 70 else 1900))


def _numeric_date(match: Match) -> str:
    """Month first, as in America, unless that cannot be."""
    first, second, last = match.groups()
    month, day = (second, first) if int(first) > 12 else (first, second)
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return match.group()
    return _date(day, int(month), last)


def _iso_date(match: Match) -> str:
    if not (1 <= int(match[2]) <= 12 and 1 <= int(match[3]) <= 31):
        return match.group()
    return _date(match[3], int(match[2]), match[1])


def _named_date(match: Match) -> str:
    name = match["month"].lower().rstrip(".")
    month = MONTHS.index(MONTH_ABBREVIATIONS.get(name, name)) + 1
    day = match["day"] or match["first"]
    return _date(day, month, match["year"])


def _time(match: Match) -> str:
    hour, minute, second, half = int(match[1]), int(match[2]), match[3], _half(match[4])
    if hour > 24 or minute > 59:
        return f"{cardinal(hour)} {cardinal(minute)}"
    if minute:
        spoken = f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    elif half:
        spoken = cardinal(hour)
    else:
        spoken = "midnight" if hour in (0, 24) else f"{cardinal(hour)} {OCLOCK if hour <= 12 else 'hundred'}"
    return spoken + (f" and {cardinal(int(second))} seconds" if second else "") + half


def _hour(match: Match) -> str:
    return cardinal(int(match[1])) + _half(match[2])


def _half(written: str | None) -> str:
    return f" {LETTERS[written[0].lower()]} em" if written else ""


def _money(match: Match) -> str:
    sign, written = match["sign"], match["amount"]
    one, several, hundredth, hundredths = CURRENCIES[CURRENCY_CODES.get(sign, sign)]
    if scale := match["scale"]:
        return f"{_number(written)} {scale.lower()} {several}"
    whole, _, cents = written.partition(".")
    spoken = f"{_number(whole)} {one if _is_one(whole) else several}"
    if len(cents) != 2:
        return f"{_number(written)} {several}" if cents else spoken
    if not int(cents):
        return spoken
    rest = f"{cardinal(int(cents))} {hundredth if int(cents) == 1 else hundredths}"
    return rest if whole == "0" else f"{spoken} and {rest}"


def _unit(match: Match) -> str:
    one, several = UNITS[match["unit"]]
    return f"{_number(match['amount'])} {one if _is_one(match['amount']) else several}"


def _fraction(match: Match) -> str:
    above, below = int(match[1]), int(match[2])
    if below == 0:
        return f"{cardinal(above)} over zero"
    name = {2: "half", 4: "quarter"}.get(below, ordinal(below))
    plural = "halves" if below == 2 else f"{name}s"
    return f"{cardinal(above)} {name if above == 1 else plural}"


def _abbreviation(match: Match) -> str:
    name = match[1].lower()
    if name == "st":
        # "St. John", but "Main St."
        return "saint " if match["name"] is not None else "street "
    return f"{ABBREVIATIONS[name]} "


def _dotted(match: Match) -> str:
    return f"{DOTTED[match.group().lower()]} "


def _day(match: Match) -> str:
    """`Sat.` is a day; at the end of a sentence, `sat.` is none."""
    return DAY_ABBREVIATIONS[match[1].lower()] if match[1][0].isupper() else match.group()


def _version(match: Match) -> str:
    return " point ".join(_number(part) for part in match.group().split("."))


def _initials(match: Match) -> str:
    """Letters with dots, such as U.S.; the last dot may end the sentence, so it stays before a space and a capital."""
    return _spelled(match.group().replace(".", "")) + (" " if match.end() < len(match.string) else ".")


def _spelled(letters: str) -> str:
    return " ".join(LETTERS[letter.lower()] for letter in letters)


def _mixed(match: Match) -> str:
    """Letters and digits in one, such as A4: letters by name, digits as a number."""
    parts = re.findall(r"\d+|[A-Za-z]", match.group())
    return " ".join(_number(part) if part.isdigit() else _spelled(part) for part in parts)


def _telephone(match: Match) -> str:
    """Digit by digit, with a pause where the groups part."""
    groups = re.findall(r"\d+", match.group())
    if len("".join(groups)) < SHORTEST_TELEPHONE:
        return match.group()
    return ("plus " if match.group().startswith("+") else "") + ", ".join(digits(group) for group in groups)


SHORTEST_TELEPHONE = 7


def _any_of(names: Iterable[str]) -> str:
    """The longer before the shorter that it begins with."""
    return "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)))


_NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
_START, _END = r"(?<![\w.,])", r"(?!\w)"
_CASELESS_MONTHS = _any_of({*MONTHS, *MONTH_ABBREVIATIONS} - {"may", "march", "mar"})
# "may 5 people" and "march 5 miles" are no dates.
_MONTH = rf"(?P<month>(?:{_CASELESS_MONTHS}|(?-i:May|MAY|March|MARCH|Mar|MAR))\b\.?)"
_YEAR = r"(?:,?\s+(?P<year>\d{4}))?(?!\w)"
_SIGN = rf"[{re.escape(''.join(CURRENCIES))}]"
_CODE = rf"(?:{_any_of(CURRENCY_CODES)})\b"
_AMOUNT = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
_SCALE = r"(?:\s*(?P<scale>hundred|thousand|million|billion|trillion))?"
_UNIT = rf"(?P<unit>(?:{_any_of(set(UNITS) - {'in'})})(?!\w)|in(?!\s*\w))(?:\.(?=\s+[a-z]))?"
_DOMAIN = r"(?:com|org|net|edu|gov|io|dev|de|uk)"

RULES = tuple(
    Rule(re.compile(pattern, re.IGNORECASE if caseless else 0), say)
    for pattern, caseless, say in (
        (r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+", False, _address),
        (r"\b(?:https?://|www\.)[^\s<>,;]*[^\s<>,;.?!)]", True, _address),
        (rf"\b[a-z][\w-]*(?:\.[\w-]+)*\.{_DOMAIN}\b(?:/[\w/-]*)?", True, _address),
        (rf"(?<!\w)(?:{_any_of(DOTTED)})(?!\w)", True, _dotted),
        (rf"{_START}(\d{{4}})-(\d{{2}})-(\d{{2}}){_END}", False, _iso_date),
        (rf"{_START}(\d{{1,2}})/(\d{{1,2}})/(\d{{4}}|\d{{2}}){_END}", False, _numeric_date),
        (rf"\b{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?P<first>){_YEAR}", True, _named_date),
        (rf"\b(?P<first>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?P<day>){_YEAR}", True, _named_date),
        (rf"{_START}(\d{{1,2}}):(\d{{2}})(?::(\d{{2}}))?(?:\s*([ap])\.?m\b\.?)?", True, _time),
        (rf"{_START}(\d{{1,2}})\s*([ap])\.?m\b\.?", True, _hour),
        (rf"(?P<sign>{_SIGN})\s?(?P<amount>{_AMOUNT}){_SCALE}", False, _money),
        (rf"(?<![\w.])(?P<amount>{_AMOUNT})\s?(?P<sign>{_SIGN}|{_CODE})(?P<scale>)", False, _money),
        (r"(?<![\w.])'?(\d{3}0|\d0)s\b", False, lambda match: decade(int(match[1]))),
        (r"(?<![\w.,/])(\d{1,2})/(\d{1,2})(?![\w/])", False, _fraction),
        (rf"(?<![\w.])(?P<amount>{_NUMBER})\s?{_UNIT}", False, _unit),
        (rf"{_START}(\d+)(?:st|nd|rd|th)\b", True, lambda match: ordinal(int(match[1]))),
        (rf"\b({_any_of(NEEDS_NUMBER)})\.?\s*(?=\d)", True, _abbreviation),
        (r"(?<!\w)\+?\(?\d[\d() -]{5,}\d(?![\w.,/])", False, _telephone),
        (rf"{_START}({_NUMBER})\s?[-–]\s?(?={_NUMBER}\b)", False, lambda match: f"{_number(match[1])} to "),
        (r"(?<=\d)\s*[xX]\s*(?=\d)", False, lambda _: " times "),
        (r"(?<![\w.])\d+(?:\.\d+){2,}(?!\w)", False, _version),
        (r"(?<![\w.,-])(1[1-9]\d\d|20\d\d)(?![\w%°]|[.,]\d)", False, lambda match: year(int(match[1]))),
        (r"\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z\d]{2,5}\b", False, _mixed),
        (rf"(?<![\w.]){_NUMBER}|\d+", False, lambda match: f" {_number(match.group())} "),
        (rf"\b({_any_of(DAY_ABBREVIATIONS)})\.", True, _day),
        (rf"\b({_any_of({*ABBREVIATIONS, 'st'} - NEEDS_NUMBER)})\.(?P<name>(?=\s+(?-i:[A-Z])))?", True, _abbreviation),
        (r"\b(?:[A-Za-z]\.){2,}", False, _initials),
    )
)
"""What an earlier rule has turned into words, no later one sees."""

ACRONYM = re.compile(r"\b([A-Z]{2,}|PhD|[B-HJ-Z](?!'))(s?)\b")


def acronym(match: Match) -> str:
    """A match of `ACRONYM` by its letters, unless it is a word."""
    word, plural = match[1], match[2]
    if word in OWN_FORMS:
        return OWN_FORMS[word]
    if word in SAID_AS_WORDS or len(word) > LONGEST_ACRONYM:
        return match.group()
    return _spelled(word) + ("'s" if plural else "")
