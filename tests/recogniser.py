"""What is heard in speech: by the recogniser that judges the demo voice."""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from demo_voice.word_errors import words
from orpheus_core.pcm import FULL_SCALE, Pcm

if TYPE_CHECKING:
    from demo_voice.judge import Judge


def heard(samples: Pcm) -> str:
    """The words in samples [N] at 24 kHz: small letters, no marks, numbers spelt out."""
    return " ".join(words(_judge().heard((samples / FULL_SCALE).astype(np.float32))))


@cache
def _judge() -> "Judge":
    # Its libraries take longer to import than most tests to run.
    from demo_voice.judge import Judge  # noqa: PLC0415

    return Judge()
