"""flite's American English phones, and the states that the middle codes distinguish."""

PHONES = (
    "pau", "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "d", "dh", "eh", "er", "ey", "f", "g", "hh", "ih",
    "iy", "jh", "k", "l", "m", "n", "ng", "ow", "oy", "p", "r", "s", "sh", "t", "th", "uh", "uw", "v", "w", "y", "z",
    "zh",
)  # fmt: skip
PAUSE = PHONES.index("pau")
PHONE_IDS = {name: number for number, name in enumerate(PHONES)}

FIRST, EARLY, LATE = range(3)
STATES = 3
"""A step is the first of its phone, in its first half, or in its second."""
