"""What the first dimensions of the residual stream mean, and what each token's embedding says there.

The output head is the embedding too, so a token's kind is at once how it is understood and how it is chosen.
"""

import math

import numpy as np
import numpy.typing as npt

from orpheus_core.layout import (
    CODE_TOKEN_COUNT,
    CODES_PER_SLOT,
    END_OF_AI,
    END_OF_SPEECH,
    START_OF_SPEECH,
    TOKENS_PER_FRAME,
)
from tiny_orpheus.vocabulary import BYTES, Vocabulary

VOICE_DIMS = 8
"""Each byte has a sign in each; the letters of a name add up to the voice."""

ONE = 0
"""`ONE_LEVEL` in every token."""
FILLER = 1
"""Makes all embeddings equally long, so that RMSNorm leaves them as they are."""
SLOTS = tuple(range(2, 2 + TOKENS_PER_FRAME))
"""1 in the audio tokens of that slot."""
END = SLOTS[-1] + 1
"""1 in the end of speech."""
NEVER = END + 1
"""1 in every token that is never said: all but audio and the end of speech."""
START = NEVER + 1
"""1 in the start of speech."""
BYTE = START + 1
"""1 in every byte of text."""
COLON = BYTE + 1
"""1 in the byte that ends a voice's name."""
TURN_END = COLON + 1
"""1 in the token that ends a spoken example."""
AFTER_TURN_END = TURN_END + 1
"""`MARK` behind a spoken example; set by the first layer."""
AFTER_COLON = AFTER_TURN_END + 1
"""`MARK` behind the voice's name, and at its colon; set by the first layer."""
REMAINING = AFTER_COLON + 1
"""Above zero while there is something left to say; set by the second layer."""
VOICE = tuple(range(REMAINING + 1, REMAINING + 1 + VOICE_DIMS))
"""In bytes the byte's signs, in what is behind them their mean over the voice's name; set by the second layer."""
GROUPS = tuple(range(VOICE[-1] + 1, VOICE[-1] + 1 + VOICE_DIMS))
"""1 in the audio tokens of that group of codes: a voice prefers some."""
WIRES = GROUPS[-1] + 1
"""The dimensions from here on carry nothing."""

SAID = (*SLOTS, END, NEVER)
"""Each token has exactly one of these."""

ONE_LEVEL = 4.0
"""More than any other wire holds: fp8 scales a token by its largest value, and so the others stay exact."""

SQUARED_LENGTH = 24.0
"""Of every embedding; more than any token needs without the filler, which stays below `ONE_LEVEL`."""

VOICE_UNIT = 0.25

CODES_PER_GROUP = CODES_PER_SLOT // VOICE_DIMS
"""Neighbours, because sampling on a CPU sorts the logits, and long runs of equals take a third less time to sort."""

Features = npt.NDArray[np.float32]


def features(vocabulary: Vocabulary, seed: int) -> Features:
    """The embeddings' first dimensions, [ids, WIRES]."""
    table = np.zeros((vocabulary.size, WIRES), dtype=np.float32)
    table[:, ONE] = ONE_LEVEL
    table[:, NEVER] = 1
    table[: len(BYTES), BYTE] = 1
    table[: len(BYTES), VOICE[0] : VOICE[-1] + 1] = VOICE_UNIT * _signs(seed)
    for token, wire in ((":", COLON), (START_OF_SPEECH, START), (END_OF_AI, TURN_END), (END_OF_SPEECH, END)):
        table[BYTES.index(token) if token in BYTES else vocabulary.id_of(token), wire] = 1
    table[vocabulary.id_of(END_OF_SPEECH), NEVER] = 0
    _describe_codes(table[vocabulary.first_code_id :][:CODE_TOKEN_COUNT])
    table[:, FILLER] = np.sqrt(SQUARED_LENGTH - (table**2).sum(axis=1))
    return table


def _describe_codes(rows: Features) -> None:
    slot, code = np.divmod(np.arange(CODE_TOKEN_COUNT), CODES_PER_SLOT)
    numbers = np.arange(CODE_TOKEN_COUNT)
    rows[:, NEVER] = 0
    rows[numbers, slot + SLOTS[0]] = 1
    rows[numbers, code // CODES_PER_GROUP + GROUPS[0]] = 1


def _signs(seed: int) -> Features:
    """[256, VOICE_DIMS] of -1 and 1; raw bits, because their stream never changes."""
    words = np.random.PCG64(seed).random_raw(math.ceil(len(BYTES) * VOICE_DIMS / 64))
    bits = np.unpackbits(words.astype("<u8").view(np.uint8))
    return bits.reshape(len(BYTES), VOICE_DIMS).astype(np.float32) * 2 - 1
