"""What a language model writes, piled up or asked for, becomes frames once and in order."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_bls.feed import Delta, Feed
from orpheus_bls.pile import Pile
from orpheus_core.errors import EngineUnavailable, InternalFault
from orpheus_core.prompt import code_tokens
from unit.bls_fakes import WAIT_S, ScriptedChild, frames_of, request

pytestmark = pytest.mark.unit


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(st.text("ab<", max_size=4), max_size=30), st.lists(st.booleans(), max_size=30))
def test_a_pile_keeps_every_text_once_and_in_order(texts: list[str], takes: list[bool]) -> None:
    pile, taken = Pile(), ""
    for index, text in enumerate(texts):
        pile.put(Delta(text, None))
        if index < len(takes) and takes[index]:
            taken += pile.take(at_once=True).text
    pile.put(Delta("", "stop"))
    pile.end()
    last = pile.take(at_once=False)
    assert taken + last.text == "".join(texts)
    assert last.finish_reason == "stop"


def test_a_pile_that_is_empty_is_waited_for_unless_it_is_wanted_at_once() -> None:
    pile = Pile()
    assert pile.take(at_once=True) == Delta("", None)
    timer = threading.Timer(0.05, pile.put, args=(Delta("late", None),))
    timer.start()
    assert pile.take(at_once=False) == Delta("late", None)
    timer.join(WAIT_S)


@pytest.mark.parametrize("at_once", [True, False])
def test_what_came_before_an_error_is_taken_before_it_is_raised(at_once: bool) -> None:
    pile = Pile()
    pile.put(Delta("so far", None))
    pile.end(InternalFault("broken"))
    assert pile.take(at_once=at_once).text == "so far"
    with pytest.raises(InternalFault, match="broken"):
        pile.take(at_once=at_once)


def test_an_end_without_a_reason_is_the_language_model_breaking_off() -> None:
    pile = Pile()
    pile.end()
    with pytest.raises(EngineUnavailable, match="broke off"):
        pile.take(at_once=False)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.booleans())
def test_frames_come_once_however_they_were_piled(sizes: list[int], at_once: bool) -> None:
    child, frames = ScriptedChild(), frames_of(sum(sizes))
    feed = Feed(request("a sentence whose budget holds all of this, and some more beside it"), child, stop=child.cancel)
    at, taken = 0, []
    for size in sizes:
        child.frames(frames[at : at + size])
        at += size
        taken.append(feed.take(at_once=at_once))
    child.text("", "length")
    taken.append(feed.take(at_once=at_once))
    np.testing.assert_array_equal(np.concatenate(taken), frames[: sum(sizes)])
    assert feed.completion is not None
    assert (feed.completion.reason, feed.completion.dropped_tokens) == ("length", 0)


def test_only_a_language_model_that_is_asked_can_be_late() -> None:
    clock, child = Clock(), ScriptedChild()
    feed = Feed(request(), child, stop=child.cancel, clock=clock)
    assert feed.waited_since_s is None
    feed.excuse(3.0)
    assert feed.waited_since_s is None
    child.text(code_tokens(frames_of(1)))
    feed.take(at_once=False)
    assert feed.waited_since_s == 100.0
    clock.now_s += 5.0
    feed.excuse(4.0)
    feed.take(at_once=True)
    assert feed.waited_since_s == 104.0, "an empty answer is no text"


def test_a_reason_that_is_none_of_its_own_is_the_language_model_breaking_off() -> None:
    child = ScriptedChild()
    child.text("", "abort")
    with pytest.raises(EngineUnavailable, match="broke off"):
        Feed(request(), child, stop=child.cancel).take(at_once=False)
