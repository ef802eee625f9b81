"""Prompts in Orpheus's layout, as text: vLLM's Triton backend takes no token ids.

The tokenizer puts one more beginning-of-text in front; the reference implementation serves it so, and so do we.
"""

import numpy as np
import numpy.typing as npt

from orpheus_core.layout import (
    BEGIN_OF_TEXT,
    CODES_PER_SLOT,
    END_OF_AI,
    END_OF_HUMAN,
    END_OF_SPEECH,
    END_OF_TURN,
    FIRST_CODE_TOKEN,
    START_OF_AI,
    START_OF_HUMAN,
    START_OF_SPEECH,
    TOKENS_PER_FRAME,
)


def preset_prompt(*, voice: str, text: str) -> str:
    """The prompt for a voice that the checkpoint was trained on."""
    return _turn(f"{voice}: {text}")


def cloning_prompt(*, reference_text: str, reference_frames: npt.NDArray[np.int64], text: str) -> str:
    """The prompt for a cloned voice: a spoken example, then the text.

    Args:
        reference_text: what is said in the example.
        reference_frames: its codes, [frames, 7], slot order, each 0..4095.
        text: what to say.
    """
    example = _turn(reference_text) + code_tokens(_without_repeats(reference_frames)) + END_OF_SPEECH + END_OF_AI
    return example + _turn(text)


def code_tokens(frames: npt.NDArray[np.int64]) -> str:
    """Codes [frames, 7] as token text, the inverse of the parser."""
    numbers = frames + FIRST_CODE_TOKEN + CODES_PER_SLOT * np.arange(TOKENS_PER_FRAME)
    return "".join(f"<custom_token_{n}>" for n in numbers.reshape(-1).tolist())


def _turn(text: str) -> str:
    opening = START_OF_HUMAN + BEGIN_OF_TEXT
    return f"{opening}{text}{END_OF_TURN}{END_OF_HUMAN}{START_OF_AI}{START_OF_SPEECH}"


def _without_repeats(frames: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Training dropped a frame whose coarse code repeats its predecessor's; references are treated alike."""
    if len(frames) == 0:
        return frames
    kept = np.concatenate(([True], frames[1:, 0] != frames[:-1, 0]))
    return frames[kept]
