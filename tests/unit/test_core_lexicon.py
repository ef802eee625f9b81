"""Words as a checkpoint wants them written."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_core.errors import InvalidInput
from orpheus_core.lexicon import NO_LEXICON, Lexicon

pytestmark = pytest.mark.unit

LEXICON = Lexicon({"a": "ə", "laugh": "ʟæꜰ", "john": "ʤɑɴ", "isn't": "ɪꜱɴᴛ", "o'clock": "əᴋʟɑᴋ"})


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a laugh.", "ə ʟæꜰ."),
        ("a <laugh> laugh?", "ə <laugh> ʟæꜰ?"),
        ("isn't it john's?", "ɪꜱɴᴛ it ʤɑɴ's?"),
        ("nine o'clock, o'", "nine əᴋʟɑᴋ, o'"),
        ("a'b'c", "ə'b'c"),
        ("laughs", "laughs"),
        ("Laugh A", "Laugh A"),
        ("", ""),
    ],
)
def test_known_words_are_respelled_and_nothing_else(text: str, written: str) -> None:
    assert LEXICON.written(text) == written


@given(st.text())
def test_an_empty_lexicon_changes_nothing(text: str) -> None:
    assert NO_LEXICON.written(text) == text


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]+(?:'[a-z]+)*", fullmatch=True),
        st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1),
    )
)
def test_a_lexicon_is_read_as_it_was_written(spellings: dict[str, str]) -> None:
    lexicon = Lexicon(spellings)
    assert Lexicon.parse(lexicon.dump()) == lexicon
    assert all(lexicon.written(word) == spelling for word, spelling in spellings.items())


@given(st.text(string.ascii_lowercase + " ,.?!'<>"))
def test_marks_and_spaces_stay(text: str) -> None:
    def without_words(written: str) -> str:
        return "".join(c for c in written if not c.isalpha())

    assert without_words(LEXICON.written(text)).replace("'", "") == without_words(text).replace("'", "")


@pytest.mark.parametrize("line", ["word", "word\t", "\tx", "Word\tx", "two words\tx", ""])
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(InvalidInput, match=r"lexicon: .*line 2"):
        Lexicon.parse(f"a\tə\n{line}\nb\tʙ\n")


def test_its_words_become_so_long_on_average() -> None:
    assert NO_LEXICON.bytes_per_char == 1.0
    assert Lexicon({"a": "b"}).bytes_per_char == 1.0
    assert Lexicon({"one": "wun", "two": "t\u00fc"}).bytes_per_char == 1.0
    assert Lexicon({"so": "\u1d1b\u1d1b", "me": "x"}).bytes_per_char == 7 / 4
