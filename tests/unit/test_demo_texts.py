"""The sentences of the demo voice: sayable, many, and the same every time."""

import random
import re

import pytest

from demo_voice import numbers
from demo_voice.sentences import MAX_CHARS, is_held_out, tidy
from demo_voice.templates import QUESTIONS, STATEMENTS, phrases
from demo_voice.vocabulary import CHARACTERS
from orpheus_core.normaliser import english

pytestmark = pytest.mark.unit

COUNT = 800


@pytest.fixture(scope="module")
def drawn() -> list[str]:
    return [*phrases(STATEMENTS, COUNT, 1), *phrases(QUESTIONS, COUNT, 2)]


def test_phrases_are_different_and_the_same_for_a_seed(drawn: list[str]) -> None:
    assert len(set(drawn)) == 2 * COUNT
    assert phrases(STATEMENTS, 50, 1) == drawn[:50]
    assert phrases(STATEMENTS, 50, 3) != drawn[:50]


def test_phrases_are_what_the_normaliser_makes_of_typed_text(drawn: list[str]) -> None:
    for phrase in drawn:
        assert "{" not in phrase
        assert set(phrase) <= set(CHARACTERS)
        assert english("text", phrase) == phrase


def test_every_template_can_be_drawn() -> None:
    openings = {template.split("{")[0] for template in STATEMENTS if not template.startswith("{")}
    text = "\n".join(phrases(STATEMENTS, COUNT, 4))
    assert [opening for opening in openings if opening not in text] == []


def test_numbers_are_spoken_as_the_normaliser_speaks_them() -> None:
    rng = random.Random(5)
    for make in (numbers.clock, numbers.date, numbers.money, numbers.digits, numbers.decimal, numbers.acronym):
        for _ in range(100):
            assert re.fullmatch(r"[a-z', ]+", make(rng)), make


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ("It was -- as they say --  Fine!", "it was, as they say, fine!"),
        ("the café; a (small) place", "the cafe, a, small, place."),
        ("wait a bit...", "wait a bit."),
        ('he said "yes"', "he said yes."),
        ("costs 5 dollars", None),
        ("the NATO summit", None),
        ("a = b", None),
        ("no", None),
        ("x" * (MAX_CHARS + 1), None),
    ],
)
def test_raw_text_is_tidied_or_left_out(raw: str, sentence: str | None) -> None:
    assert tidy(raw) == sentence


def test_about_one_in_fifty_is_held_out(drawn: list[str]) -> None:
    share = sum(map(is_held_out, drawn)) / len(drawn)
    assert 0.01 < share < 0.03
