"""Samples that one can play, and pictures of them."""

from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from demo_voice.trials import Audio
from orpheus_core.layout import SAMPLE_RATE_HZ

WINDOW_SAMPLES, HOP_SAMPLES = 1024, 256
RANGE_DB = 70.0
HEIGHT = 256
"""Rows of the picture: up to 6 kHz."""


def write_ogg(path: Path, audio: Audio) -> None:
    """Audio [N] at 24 kHz as Ogg Vorbis."""
    soundfile.write(path, audio, SAMPLE_RATE_HZ, format="OGG", subtype="VORBIS")


def write_spectrogram(path: Path, audio: Audio) -> None:
    """Level by time and frequency, dark is loud; four hops to 43 ms, low frequencies below."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(audio, WINDOW_SAMPLES // 2), WINDOW_SAMPLES)[
        ::HOP_SAMPLES
    ]
    magnitudes = np.abs(np.fft.rfft(windows * np.hanning(WINDOW_SAMPLES)))[:, :HEIGHT]
    level_db = 20 * np.log10(magnitudes + 1e-6)
    shade = np.clip((level_db.max() - level_db) / RANGE_DB, 0, 1)
    Image.fromarray((shade.T[::-1] * 255).astype(np.uint8)).save(path)
