"""Ids of the language model's tokens: controls, characters, and only the audio tokens that the codes use."""

from functools import cache

import numpy as np
import numpy.typing as npt

from demo_voice.layout import CODES_USED
from demo_voice.phones import STRESS, SYMBOLS
from orpheus_core.layout import (
    BEGIN_OF_TEXT,
    CODES_PER_SLOT,
    END_OF_AI,
    END_OF_HUMAN,
    END_OF_SPEECH,
    END_OF_TURN,
    FIRST_CODE_TOKEN,
    PAD,
    START_OF_AI,
    START_OF_HUMAN,
    START_OF_SPEECH,
)
from orpheus_core.prompt import preset_prompt

UNKNOWN = "<unk>"
CONTROLS = (
    PAD, BEGIN_OF_TEXT, END_OF_TURN, START_OF_SPEECH, END_OF_SPEECH, START_OF_HUMAN, END_OF_HUMAN, START_OF_AI,
    END_OF_AI,
)  # fmt: skip
"""The padding is first: its id is 0."""
CHARACTERS = " abcdefghijklmnopqrstuvwxyz,.?!':"

TEXT_TOKENS = (*CONTROLS, UNKNOWN, *CHARACTERS, *SYMBOLS.values(), STRESS)
SLOT_STARTS = tuple(len(TEXT_TOKENS) + sum(CODES_USED[:slot]) for slot in range(len(CODES_USED)))
"""Id of code 0 of each slot."""
SIZE = len(TEXT_TOKENS) + sum(CODES_USED)

Ints = npt.NDArray[np.int64]


def audio_tokens() -> list[str]:
    """The strings of all audio ids, in their order."""
    firsts = [FIRST_CODE_TOKEN + slot * CODES_PER_SLOT for slot in range(len(CODES_USED))]
    return [f"<custom_token_{first + c}>" for first, used in zip(firsts, CODES_USED, strict=True) for c in range(used)]


def audio_ids(codes: Ints) -> Ints:
    """Codes [F, 7] as ids [F, 7]."""
    ids: Ints = codes + np.array(SLOT_STARTS)
    return ids


def prompt_ids(voice: str, text: str) -> tuple[Ints, int]:
    """Ids of Orpheus's prompt as vLLM makes them, and the index of the text's first character."""
    prompt = preset_prompt(voice=voice, text=text)
    opening = preset_prompt(voice=voice, text="\0").split("\0")[0]
    ids = [token_ids()[BEGIN_OF_TEXT], *_split(prompt)]
    return np.array(ids, dtype=np.int64), 1 + len(_split(opening))


@cache
def token_ids() -> dict[str, int]:
    return {token: number for number, token in enumerate((*TEXT_TOKENS, *audio_tokens()))}


def _split(prompt: str) -> list[int]:
    """Controls as wholes, the rest by characters."""
    found, place = [], 0
    while place < len(prompt):
        end = prompt.find(">", place) + 1
        length = end - place if prompt[place] == "<" and prompt[place:end] in token_ids() else 1
        found.append(token_ids()[prompt[place : place + length]])
        place += length
    return found
