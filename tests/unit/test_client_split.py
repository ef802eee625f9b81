"""The splitter: nothing lost, nothing doubled, cut where a speaker would pause."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_client import TextSplitter, split_text
from orpheus_client.split import FIRST_CHARS, MERGED_CHARS

pytestmark = pytest.mark.unit

WORDS = st.sampled_from(
    ["Yes.", "Dr.", "and", "e.g.", "3.50", "well,", "really?", "(no)", '"Go!"', "<laugh>", "Über", "end;", "naïve", "…"]
)
SPACES = st.sampled_from([" ", " ", " ", "  ", "\n", "\n\n", "\t"])
PROSE = st.lists(st.tuples(WORDS, SPACES), max_size=60).map(lambda pairs: "".join(w + s for w, s in pairs))
ANYTHING = st.text(alphabet=st.sampled_from(list("ab .!?。！，,\n\t\"')<>…éA1-;\u0301한ि")), max_size=200) | st.text(
    max_size=200
)
LANGUAGES = st.sampled_from(["en", "de", "zh", "hi", "ko"])
LONG = "This is the first sentence of many, and it goes on. " * 20


@given(PROSE, st.integers(8, 120), st.booleans())
def test_words_come_out_as_they_went_in(text: str, max_chars: int, enable: bool) -> None:
    pieces = split_text(text, max_chars, enable_text_splitting=enable)
    assert " ".join(pieces).split() == text.split()


@given(ANYTHING, st.integers(1, 90), st.booleans(), LANGUAGES)
def test_no_sign_is_lost_or_doubled_and_no_piece_is_too_long(
    text: str, max_chars: int, enable: bool, language: str
) -> None:
    pieces = split_text(text, max_chars, language=language, enable_text_splitting=enable)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(piece) <= max_chars for piece in pieces)
    assert all(piece == " ".join(piece.split()) for piece in pieces)


@given(ANYTHING | PROSE, st.integers(1, 90), LANGUAGES, st.lists(st.integers(0, 400), max_size=12))
def test_the_pieces_do_not_depend_on_the_deltas(text: str, max_chars: int, language: str, cuts: list[int]) -> None:
    splitter = TextSplitter(max_chars, language=language)
    edges = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    pieces = [piece for a, b in pairwise(edges) for piece in splitter.push(text[a:b])]
    assert [*pieces, *splitter.flush()] == split_text(text, max_chars, language=language)


@given(PROSE, st.integers(45, 120))
def test_tags_stay_whole(text: str, max_chars: int) -> None:
    text = text.replace("<laugh>", "<작은 웃음>")
    tags = [tag for piece in split_text(text, max_chars) for tag in re.findall(r"<[^<>]*>", piece)]
    assert tags == re.findall(r"<[^<>]*>", text)
    assert all(tag == "<작은 웃음>" for tag in tags)


def test_cuts_are_at_sentence_ends() -> None:
    pieces = split_text(LONG, 400)
    assert all(piece.endswith("goes on.") for piece in pieces)


def test_the_first_piece_is_short_and_the_others_are_merged() -> None:
    first, *others = split_text("Oh. That is good news. " + LONG, 400)
    assert first == "Oh. That is good news."
    assert all(MERGED_CHARS - 60 < len(piece) <= MERGED_CHARS for piece in others[:-1])


def test_without_splitting_only_the_cap_cuts() -> None:
    pieces = split_text(LONG, 400, enable_text_splitting=False)
    assert all(400 - 60 < len(piece) <= 400 for piece in pieces[:-1])
    assert split_text("One. Two. Three.", 400, enable_text_splitting=False) == ["One. Two. Three."]


def test_a_long_sentence_is_cut_at_its_clauses_then_at_spaces_then_anywhere() -> None:
    clauses = "While it rained, and it rained for long; we stayed where we were and waited for the sun"
    assert split_text(clauses, 45) == [
        "While it rained, and it rained for long;",
        "we stayed where we were and waited for the",
        "sun",
    ]
    assert split_text("a" * 25, 10) == ["a" * 10, "a" * 10, "a" * 5]


def test_a_word_is_not_cut_between_a_sign_and_its_accent() -> None:
    assert split_text("ab" * 4 + "e\u0301" * 4, 9) == ["ab" * 4, "e\u0301" * 4]


@pytest.mark.parametrize(
    ("language", "marked"),
    [
        ("en", "Dr. Smith paid $3.50 for it. | He was e.g. late."),
        ("zh", "今天的天气很好，我们去公园散步吧好不好？|好的，我们走吧。"),
        ("hi", "यह पहला लंबा वाक्य है। | यह दूसरा वाक्य है।"),
        ("en", "A heading without end\n\n|Then the text."),
    ],
)
def test_sentences_end_as_in_their_language(language: str, marked: str) -> None:
    expected = [sentence.strip() for sentence in marked.split("|")]
    assert split_text(marked.replace("|", ""), 400, language=language) == expected


def test_a_sentence_is_given_out_as_soon_as_the_word_behind_it_is_known() -> None:
    splitter = TextSplitter(400)
    assert splitter.push("The first sentence stands here. The") == []
    assert splitter.push(" ") == ["The first sentence stands here."]
    assert splitter.push("second") == []
    assert splitter.flush() == ["The second"]
    with pytest.raises(RuntimeError, match="flushed already"):
        splitter.push("more")


def test_text_without_ends_does_not_wait_for_one() -> None:
    splitter = TextSplitter(100)
    pieces = [piece for _ in range(100) for piece in splitter.push("on and on ")]
    assert len("".join(pieces)) > 1000 - 400


@pytest.mark.parametrize("text", ["", " \n\n\t "])
def test_nothing_is_no_piece(text: str) -> None:
    assert split_text(text, 400) == []


def test_a_cap_must_hold_something() -> None:
    with pytest.raises(ValueError, match="max_chars: 0"):
        TextSplitter(0)


def test_the_first_piece_fits_a_small_cap() -> None:
    assert all(len(piece) <= FIRST_CHARS // 2 for piece in split_text(LONG, FIRST_CHARS // 2))
