"""The loop guard."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_core.checkpoint import LoopRule
from orpheus_core.loop import LoopGuard

pytestmark = pytest.mark.unit

RULE = LoopRule()


def frames(numbers: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.repeat(np.array(numbers, dtype=np.int64), 7).reshape(-1, 7)


@given(st.integers(1, RULE.max_period_frames), st.integers(0, 30), st.lists(st.integers(1, 50), max_size=10))
def test_a_repeated_pattern_is_found_once_it_spans_enough(period: int, before: int, sizes: list[int]) -> None:
    needed = max(RULE.min_span_frames, RULE.min_repeats * period)
    numbers = [1000 + i for i in range(before)] + [i % period for i in range(needed)]
    guard = LoopGuard(RULE)
    tripped = [guard.push(frames([number])) for number in numbers]
    assert tripped.index(True) == before + needed - 1


def test_chunks_do_not_matter() -> None:
    guard = LoopGuard(RULE)
    assert not guard.push(frames([7] * 35))
    assert guard.push(frames([7, 8, 9]))


def test_long_varied_speech_never_trips() -> None:
    numbers = np.random.default_rng(0).integers(0, 3, 700).tolist()
    assert not LoopGuard(RULE).push(frames(numbers))


def test_a_pattern_longer_than_the_rule_is_no_loop() -> None:
    assert not LoopGuard(RULE).push(frames(list(range(RULE.max_period_frames + 1)) * 20))


@pytest.mark.parametrize("period", [1, 2])
def test_the_shortest_rules_hold(period: int) -> None:
    rule = LoopRule(max_period_frames=period, min_span_frames=4, min_repeats=2)
    guard = LoopGuard(rule)
    assert not guard.push(frames([1, 2, 3, 3, 2, 1, 1, 1]))
    assert guard.push(frames([1]))


def test_nothing_pushed_is_no_loop() -> None:
    guard = LoopGuard(RULE)
    for _ in range(100):
        assert not guard.push(frames([]))
