"""The quiet opening."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_core.silence import AUDIBLE_LEVEL, BLOCK_SAMPLES, SilenceTrim, first_audible_sample

pytestmark = pytest.mark.unit

Pcm = npt.NDArray[np.int16]
LIMIT_SAMPLES = 20 * BLOCK_SAMPLES


def speech(quiet_samples: int, loud_samples: int) -> Pcm:
    loud = np.full(loud_samples, AUDIBLE_LEVEL, dtype=np.int16)
    return np.concatenate((np.full(quiet_samples, AUDIBLE_LEVEL - 1, dtype=np.int16), -loud))


def trim(samples: Pcm, cuts: list[int], *, enabled: bool = True) -> tuple[Pcm, SilenceTrim]:
    stage = SilenceTrim(enabled=enabled, max_trimmed_samples=LIMIT_SAMPLES)
    edges = [0, *sorted(cut % (len(samples) + 1) for cut in cuts), len(samples)]
    parts = [stage.push(samples[a:b]) for a, b in itertools.pairwise(edges)]
    return np.concatenate([*parts, stage.flush()]), stage


cuts_of = st.lists(st.integers(0, 10**5), max_size=12)


@given(st.integers(0, 6000), st.integers(0, 2000), cuts_of)
def test_the_result_does_not_depend_on_the_chunks(quiet: int, loud: int, cuts: list[int]) -> None:
    samples = speech(quiet, loud)
    np.testing.assert_array_equal(trim(samples, cuts)[0], trim(samples, [])[0])


@given(st.integers(0, 6000), st.integers(1, 2000), cuts_of)
def test_whole_quiet_blocks_are_left_out_up_to_the_limit(quiet: int, loud: int, cuts: list[int]) -> None:
    samples = speech(quiet, loud)
    cut = min(quiet - quiet % BLOCK_SAMPLES, LIMIT_SAMPLES)
    sent, stage = trim(samples, cuts)
    np.testing.assert_array_equal(sent, samples[cut:])
    assert stage.heard


@given(st.integers(0, 6000), st.integers(0, 2000), cuts_of)
def test_switched_off_it_sends_everything_and_still_hears(quiet: int, loud: int, cuts: list[int]) -> None:
    samples = speech(quiet, loud)
    sent, stage = trim(samples, cuts, enabled=False)
    np.testing.assert_array_equal(sent, samples)
    assert stage.heard == (loud > 0)


def test_pure_silence_within_the_limit_is_left_out_whole() -> None:
    sent, stage = trim(speech(1000, 0), [])
    assert len(sent) == 0
    assert not stage.heard


def test_the_onset_is_that_of_the_first_audible_block() -> None:
    assert first_audible_sample(speech(500, 10)) == 480
    assert first_audible_sample(speech(500, 0)) is None


def test_the_loudest_negative_sample_is_heard_and_empty_chunks_change_nothing() -> None:
    stage = SilenceTrim()
    loudest = np.full(1, np.iinfo(np.int16).min, dtype=np.int16)
    parts = [stage.push(part) for part in (loudest[:0], np.zeros(479, dtype=np.int16), loudest[:0], loudest)]
    np.testing.assert_array_equal(np.concatenate([*parts, stage.flush()]), [*[0] * 239, loudest[0]])
    assert stage.heard
    assert stage.trimmed_samples == 240
