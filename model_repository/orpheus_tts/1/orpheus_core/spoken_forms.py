"""How things that are written short are said in English."""

from collections.abc import Mapping
from types import MappingProxyType

LETTERS: Mapping[str, str] = MappingProxyType({
    "a": "ay", "b": "bee", "c": "see", "d": "dee", "e": "ee", "f": "eff", "g": "jee", "h": "aitch", "i": "eye",
    "j": "jay", "k": "kay", "l": "ell", "m": "em", "n": "en", "o": "oh", "p": "pee", "q": "cue", "r": "ar", "s": "ess",
    "t": "tee", "u": "you", "v": "vee", "w": "double you", "x": "ex", "y": "why", "z": "zee",
})  # fmt: skip

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip

ABBREVIATIONS: Mapping[str, str] = MappingProxyType({
    "mr": "mister", "mrs": "missus", "ms": "miss", "dr": "doctor", "prof": "professor", "gen": "general",
    "col": "colonel", "capt": "captain", "lt": "lieutenant", "sgt": "sergeant", "rev": "reverend", "gov": "governor",
    "sen": "senator", "rep": "representative", "hon": "honorable", "jr": "junior", "sr": "senior",
    "ave": "avenue", "blvd": "boulevard", "rd": "road", "ln": "lane", "hwy": "highway", "apt": "apartment",
    "dept": "department", "inc": "incorporated", "ltd": "limited", "co": "company", "corp": "corporation",
    "est": "established", "approx": "approximately", "etc": "et cetera", "vs": "versus", "no": "number",
    "fig": "figure", "vol": "volume", "pp": "pages", "ed": "edition", "tel": "telephone", "min": "minutes",
    "max": "maximum", "misc": "miscellaneous", "mt": "mount", "ft": "fort",
})  # fmt: skip
"""Written with a full stop."""

NEEDS_NUMBER = frozenset({"no", "fig", "vol", "pp", "ed"})
"""Abbreviations that are words, or ends of sentences, unless a number follows."""

DOTTED: Mapping[str, str] = MappingProxyType({
    "e.g.": "for example", "i.e.": "that is", "a.m.": "ay em", "p.m.": "pee em", "a.k.a.": "also known as",
    "b.c.": "bee see", "a.d.": "ay dee", "ph.d.": "pee aitch dee", "w/o": "without", "w/": "with",
})  # fmt: skip

MONTH_ABBREVIATIONS: Mapping[str, str] = MappingProxyType(
    {month[:3]: month for month in MONTHS if month != "may"} | {"sept": "september"}
)
DAY_ABBREVIATIONS: Mapping[str, str] = MappingProxyType({
    "mon": "monday", "tue": "tuesday", "tues": "tuesday", "wed": "wednesday", "thu": "thursday", "thur": "thursday",
    "thurs": "thursday", "fri": "friday", "sat": "saturday", "sun": "sunday",
})  # fmt: skip

CURRENCIES: Mapping[str, tuple[str, str, str, str]] = MappingProxyType(
    {
        "$": ("dollar", "dollars", "cent", "cents"),
        "€": ("euro", "euros", "cent", "cents"),
        "£": ("pound", "pounds", "penny", "pence"),
        "¥": ("yen", "yen", "sen", "sen"),
        "₹": ("rupee", "rupees", "paisa", "paise"),
    }
)
"""One, several, hundredth, hundredths."""

CURRENCY_CODES: Mapping[str, str] = MappingProxyType({"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"})

UNITS: Mapping[str, tuple[str, str]] = MappingProxyType({
    "km/h": ("kilometer per hour", "kilometers per hour"), "kph": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"), "m/s": ("meter per second", "meters per second"),
    "km": ("kilometer", "kilometers"), "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"),
    "m": ("meter", "meters"), "mi": ("mile", "miles"), "ft": ("foot", "feet"), "in": ("inch", "inches"),
    "yd": ("yard", "yards"), "kg": ("kilogram", "kilograms"), "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"), "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"),
    "l": ("liter", "liters"), "L": ("liter", "liters"), "ml": ("milliliter", "milliliters"),
    "ms": ("millisecond", "milliseconds"), "s": ("second", "seconds"), "sec": ("second", "seconds"),
    "min": ("minute", "minutes"), "h": ("hour", "hours"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"),
    "Hz": ("hertz", "hertz"), "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"), "KB": ("kilobyte", "kilobytes"), "kB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"), "TB": ("terabyte", "terabytes"),
    "W": ("watt", "watts"), "kW": ("kilowatt", "kilowatts"), "kWh": ("kilowatt hour", "kilowatt hours"),
    "V": ("volt", "volts"), "°C": ("degree celsius", "degrees celsius"), "°F": ("degree fahrenheit",
    "degrees fahrenheit"), "°": ("degree", "degrees"), "%": ("percent", "percent"),
})  # fmt: skip
"""After a number: one, several. Longer ones are tried first."""

SYMBOLS: Mapping[str, str] = MappingProxyType({
    "&": "and", "+": "plus", "=": "equals", "@": "at", "#": "number", "%": "percent", "°": "degrees", "×": "times",
    "÷": "divided by", "<": "less than", ">": "greater than", "/": "slash", "±": "plus or minus", "$": "dollars",
    "€": "euros", "£": "pounds", "¥": "yen", "₹": "rupees", "©": "copyright", "™": "trademark", "®": "registered",
    "½": "one half", "¼": "one quarter", "¾": "three quarters", "µ": "micro", "√": "square root of", "≈": "about",
})  # fmt: skip

_CAPITAL_WORDS = (
    "NASA NATO UNESCO UNICEF OPEC AIDS LASER RADAR SCUBA ASAP FIFA IKEA LEGO NAFTA OSHA RAM ROM GIF PIN SIM VAT ZIP "
    "COVID NOT AND THE ALL ONE TWO TEN FOR YOU ARE NEW NOW OUT STOP HELP YES NO GO ON OFF TO IN IS IT BE DO WE ME MY "
    "HE OF OR SO UP AT BY AN AS IF"
)
SAID_AS_WORDS = frozenset(_CAPITAL_WORDS.split())
"""Capitals that are no acronym, or one that is a word."""

OWN_FORMS: Mapping[str, str] = MappingProxyType({"OK": "okay", "TV": "tee vee", "PhD": "pee aitch dee", "vs": "versus"})

LATIN_LETTERS: Mapping[str, str] = MappingProxyType({
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ŋ": "ng", "ħ": "h",
    "Æ": "Ae", "Œ": "Oe", "Ø": "O", "Ł": "L", "Đ": "D", "Ð": "D", "Þ": "Th", "ẞ": "SS",
})  # fmt: skip
"""Letters that no compatibility form takes apart."""

PUNCTUATION = str.maketrans({
    "’": "'", "‘": "'", "`": "'", "´": "'", "“": " ", "”": " ", "„": " ", '"': " ", "«": " ", "»": " ",
    ";": ",", ":": ",", "(": ",", ")": ",", "[": ",", "]": ",", "{": ",", "}": ",", "—": ",", "–": ",", "…": ".",
    "-": " ", "_": " ", "*": " ", "|": ",", "~": " ", "^": " ", "\\": " ", "•": ",", "¿": " ", "¡": " ", "·": " ",
})  # fmt: skip
