"""The measures of speech, on signals whose measures are known."""

import numpy as np
import pytest

from orpheus_client._joiner import PieceJoiner
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm
from speech_measures import longest_gap_s, median_pitch_hz, steps_beside_silence

pytestmark = pytest.mark.unit


def pulses(hz: float, seconds: float) -> Pcm:
    """A voice's buzz: its first twelve harmonics, falling."""
    times_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    harmonics = [np.cos(2 * np.pi * hz * number * times_s) / number for number in range(1, 13)]
    samples: Pcm = np.rint(8000 * np.sum(harmonics, axis=0)).astype(np.int16)
    return samples


@pytest.mark.parametrize("hz", [75.0, 110.0, 190.0, 310.0])
def test_the_pitch_of_a_buzz_is_found_beside_noise_and_silence(hz: float) -> None:
    noise = np.random.default_rng(1).normal(0, 3000, SAMPLE_RATE_HZ // 2).astype(np.int16)
    silence = np.zeros(SAMPLE_RATE_HZ, np.int16)
    assert median_pitch_hz(np.concatenate((silence, noise, pulses(hz, 1.0)))) == pytest.approx(hz, rel=0.03)


def test_the_longest_gap_is_found_inside_and_not_at_the_edges() -> None:
    silences = [np.full(round(seconds * SAMPLE_RATE_HZ), 100, np.int16) for seconds in (2.0, 0.3, 0.7, 2.0)]
    buzz = pulses(120, 0.5)
    speech = np.concatenate([part for silence in silences for part in (silence, buzz)][:-1])
    gap_s, at_s = longest_gap_s(speech)
    assert gap_s == pytest.approx(0.7, abs=0.02)
    assert at_s == pytest.approx(2.0 + 0.5 + 0.3 + 0.5, abs=0.02)
    assert longest_gap_s(np.zeros(SAMPLE_RATE_HZ, np.int16))[0] == 1.0


def test_a_join_that_clicks_is_told_from_one_that_does_not() -> None:
    pieces = [pulses(120, 0.5), pulses(150, 0.5), pulses(100, 0.5)]
    cut = np.concatenate([np.append(piece, np.zeros(4800, np.int16)) for piece in pieces])
    joiner = PieceJoiner(pause_ms=200)
    parts = [part for piece in pieces for part in (joiner.begin_piece(), joiner.push(piece))]
    joined = np.concatenate([*parts, joiner.flush()])
    assert len(steps_beside_silence(joined)) == 4
    assert max(steps_beside_silence(joined)) < 0.02 * 32767 < min(steps_beside_silence(cut)[:-1])
    assert steps_beside_silence(pieces[0]) == []
