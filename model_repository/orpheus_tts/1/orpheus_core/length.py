"""How long a speech may become, in frames and tokens."""

import math

from orpheus_core.checkpoint import Checkpoint
from orpheus_core.layout import FRAMES_PER_SECOND, TOKENS_PER_FRAME
from orpheus_core.text import spoken_length

MAX_SECONDS = 60.0
MIN_SECONDS = 0.2
MAX_REFERENCE_SECONDS = 30.0

PROMPT_OVERHEAD_TOKENS = 24
"""More than the control tokens of either prompt layout, the second beginning-of-text, the voice's colon and the stop
token; the voice's name is counted with the text."""


def frames_in(seconds: float) -> int:
    """Whole frames within `seconds`, at least one."""
    return max(1, math.floor(seconds * FRAMES_PER_SECOND))


MAX_REFERENCE_FRAMES = frames_in(MAX_REFERENCE_SECONDS)


def budget_frames(checkpoint: Checkpoint, text: str) -> int:
    """Frames that speaking `text` may take by the checkpoint's budget, within `MAX_SECONDS`."""
    chars, tags = spoken_length(text)
    rule = checkpoint.budget
    seconds = rule.base_s + rule.per_char_s * chars + rule.per_tag_s * tags
    return frames_in(min(seconds, MAX_SECONDS))


def prompt_tokens_bound(prompt_text: str, reference_frames: int = 0) -> int:
    """An upper bound of a prompt's tokens: byte-level tokenizers never need more than one token a byte."""
    return len(prompt_text.encode()) + PROMPT_OVERHEAD_TOKENS + TOKENS_PER_FRAME * reference_frames


def frames_that_fit(checkpoint: Checkpoint, prompt_tokens: int) -> int:
    """Frames left in `max_model_len` after the prompt and the stop token; 0 or less when none."""
    return (checkpoint.max_model_len - prompt_tokens - 1) // TOKENS_PER_FRAME


def worst_case_tokens(checkpoint: Checkpoint, bytes_per_char: float = 1.0) -> int:
    """Prompt, reference and budget of the longest text that the checkpoint admits.

    `max_model_len` must be at least this, or the longest texts would be cut.

    Args:
        bytes_per_char: of the texts as they stand in the prompt, more than one where a lexicon spells them.
    """
    longest = "x" * checkpoint.max_text_chars
    texts, reference_frames = (2, MAX_REFERENCE_FRAMES) if checkpoint.can_clone else (1, 0)
    prompt = prompt_tokens_bound("x" * math.ceil(texts * bytes_per_char * len(longest)), reference_frames)
    return prompt + TOKENS_PER_FRAME * budget_frames(checkpoint, longest) + 1
