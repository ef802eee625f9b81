"""What is measured of a speech, the same for everyone who is compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from orpheus_core.pcm import Pcm
from orpheus_core.silence import AUDIBLE_LEVEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """One speech as its listener got it, beside the decode of all its codes at once."""

    chunks: Sequence[Pcm]
    arrived_s: Sequence[float]
    """Since it was asked for, of each chunk."""
    whole: Pcm
    decoded_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Over some speeches."""

    first_audio_ms: float
    """Median."""
    first_audible_ms: float
    decoded_per_sent: float
    cpu_ms_per_audio_s: float
    difference_db: float
    """Level of the whole decode over that of the difference; infinite where every sample is equal, to one step."""
    lost_samples: int
    """Mean of a speech."""
    times_real_time: float


def figures(speeches: Sequence[Speech], *, cpu_s: float, wall_s: float) -> Figures:
    """Together."""
    heard = [np.concatenate(speech.chunks) for speech in speeches]
    sent = sum(map(len, heard))
    signal = noise = 0.0
    for speech, samples in zip(speeches, heard, strict=True):
        start = _place(samples, speech.whole)
        part = speech.whole[start : start + len(samples)].astype(np.float64)
        difference = samples[: len(part)] - part
        signal += float((part**2).sum())
        noise += float((difference[np.abs(difference) > 1] ** 2).sum())
    return Figures(
        first_audio_ms=float(np.median([1000 * speech.arrived_s[0] for speech in speeches])),
        first_audible_ms=float(np.median([1000 * _audible_s(speech) for speech in speeches])),
        decoded_per_sent=sum(s.decoded_frames for s in speeches) * SAMPLES_PER_FRAME / sent,
        cpu_ms_per_audio_s=1000 * cpu_s / (sent / SAMPLE_RATE_HZ),
        difference_db=10 * np.log10(signal / noise) if noise else float("inf"),
        lost_samples=round(
            sum(len(speech.whole) - len(h) for speech, h in zip(speeches, heard, strict=True)) / len(speeches)
        ),
        times_real_time=sent / SAMPLE_RATE_HZ / wall_s,
    )


def _audible_s(speech: Speech) -> float:
    loud = (at_s for chunk, at_s in zip(speech.chunks, speech.arrived_s, strict=True) if _is_loud(chunk))
    return next(loud, float("nan"))


def _is_loud(chunk: Pcm) -> bool:
    return len(chunk) > 0 and int(np.abs(chunk.astype(np.int32)).max()) >= AUDIBLE_LEVEL


def _place(samples: Pcm, whole: Pcm) -> int:
    """Where the samples begin in the whole: at its start, or a frame later where the first one was left out."""
    places = [start for start in (0, SAMPLES_PER_FRAME) if start + len(samples) <= len(whole)] or [0]
    return min(
        places, key=lambda start: float(np.abs(whole[start : start + len(samples)] - samples.astype(float)).sum())
    )
