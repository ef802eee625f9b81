"""How words are counted that a recogniser heard otherwise."""

import pytest

from demo_voice.word_errors import Errors, errors, words

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("said", "heard", "wrong", "count"),
    [
        ("Your table is booked.", "your table is booked", 0, 4),
        ("It is 9:20.", "It is nine twenty!", 0, 4),
        ("That is $4.50.", "That is four dollars and fifty cents.", 0, 7),
        ("one two three four", "one three four", 1, 4),
        ("one two three four", "one two two three four", 1, 4),
        ("one two three four", "one too three for", 2, 4),
        ("one two three four", "", 4, 4),
        ("one two three four", "...", 4, 4),
        ("one", "five six seven", 3, 1),
    ],
)
def test_what_was_left_out_put_in_or_taken_for_another_counts(said: str, heard: str, wrong: int, count: int) -> None:
    assert errors(said, heard) == Errors(wrong, count)


def test_errors_of_many_sentences_add_up() -> None:
    total = sum((Errors(1, 4), Errors(2, 8)), start=Errors(0, 0))
    assert total == Errors(3, 12)
    assert total.rate == pytest.approx(0.25)
    assert Errors(0, 0).rate == 0


def test_words_are_small_letters_alone() -> None:
    assert words("Don't: it's Dr. Smith's 2nd -- really?") == ["dont", "its", "doctor", "smiths", "second", "really"]
