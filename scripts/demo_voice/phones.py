"""flite's American English phones, and the states that the middle codes distinguish."""

PHONES = (
    "pau", "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "d", "dh", "eh", "er", "ey", "f", "g", "hh", "ih",
    "iy", "jh", "k", "l", "m", "n", "ng", "ow", "oy", "p", "r", "s", "sh", "t", "th", "uh", "uw", "v", "w", "y", "z",
    "zh",
)  # fmt: skip
SYMBOLS = dict(
    zip(
        PHONES[1:],
        ("ɑ", "æ", "ʌ", "ɔ", "ȣ", "ə", "ɩ", "ʙ", "ʧ", "ᴅ", "ð", "ɛ", "ɝ", "ɘ", "ꜰ", "ɢ", "ʜ", "ɪ", "ɨ", "ʤ", "ᴋ", "ʟ",
         "ᴍ", "ɴ", "ŋ", "ɵ", "ɶ", "ᴘ", "ʀ", "ꜱ", "ʃ", "ᴛ", "θ", "ʊ", "ʉ", "ᴠ", "ᴡ", "ʏ", "ᴢ", "ʒ"),
        strict=True,
    )
)  # fmt: skip
"""One character for each phone, as prompts write it: none is a letter that people type, and none changes when case is
folded or accents are stripped."""

STRESS = "ˈ"
"""Stands before a stressed vowel."""

VOWEL_PHONES = frozenset(
    ("aa", "ae", "ah", "ao", "aw", "ax", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw")
)

PAUSE = PHONES.index("pau")
PHONE_IDS = {name: number for number, name in enumerate(PHONES)}

FIRST, EARLY, LATE = range(3)
STATES = 3
"""A step is the first of its phone, in its first half, or in its second."""
