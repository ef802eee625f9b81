"""Finished calls are held as long as Triton may refer to them, and no longer."""

import weakref

import pytest

from orpheus_bls.afterlife import KEPT_S, Afterlife

pytestmark = pytest.mark.unit


class Call:
    """Something that can be watched going."""


def test_a_thing_is_held_for_its_time_and_then_let_go() -> None:
    now_s = 100.0
    afterlife = Afterlife(lambda: now_s)
    first = Call()
    gone = weakref.ref(first)
    afterlife.keep(first)
    del first
    now_s += KEPT_S - 0.1
    afterlife.keep(Call())
    assert gone() is not None
    now_s += 0.2
    afterlife.keep(Call())
    assert gone() is None
    assert len(afterlife) == 2
