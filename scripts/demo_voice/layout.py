"""What the seven codes of a frame mean in the demo voice. Their count, slots and tokens are Orpheus's.

| slot | codes | meaning |
|---|---|---|
| 0 | 32 for each voice | whole cycles of the voice within the frame; 0 is unvoiced |
| 1, 2 | 41 phones x 3 states | what is said in the first and in the second half of the frame |
| 3 to 6 | 512 | the nearest centroid of cepstra, for each quarter of the frame |

The spectra come last: they are easy to tell once the phones of the whole frame are known.
"""

from demo_voice.phones import PHONES, STATES
from demo_voice.settings import VOICES
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, TOKENS_PER_FRAME

PITCH_SLOT = 0
PHONE_SLOTS = (1, 2)
SPECTRUM_SLOTS = (3, 4, 5, 6)

PITCHES = 32
"""A pitch code is its voice's number times this, plus the cycles: 31 of them are 363 Hz."""
PITCH_CODES = PITCHES * len(VOICES)
PHONE_CODES = len(PHONES) * STATES
SPECTRUM_CODES = 512

CODES_USED = tuple(
    PITCH_CODES if slot == PITCH_SLOT else PHONE_CODES if slot in PHONE_SLOTS else SPECTRUM_CODES
    for slot in range(TOKENS_PER_FRAME)
)
"""Of the 4096 of each slot."""

PHONE_STEPS = len(PHONE_SLOTS)
SECONDS_PER_FRAME = SAMPLES_PER_FRAME / SAMPLE_RATE_HZ
SECONDS_PER_PHONE_STEP = SECONDS_PER_FRAME / PHONE_STEPS
