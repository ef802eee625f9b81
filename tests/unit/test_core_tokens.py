"""Token text to frames, whatever way it is cut."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_core.layout import CODES_PER_SLOT, TOKENS_PER_FRAME
from orpheus_core.prompt import code_tokens
from orpheus_core.tokens import Frames, TokenParser

pytestmark = pytest.mark.unit

frame_codes = st.lists(st.integers(0, CODES_PER_SLOT - 1), min_size=TOKENS_PER_FRAME, max_size=TOKENS_PER_FRAME)
speeches = st.lists(frame_codes, max_size=12).map(lambda f: np.array(f, dtype=np.int64).reshape(-1, TOKENS_PER_FRAME))
pieces = st.sampled_from(
    [
        "<custom_token_2>",
        "<custom_token_28682>",
        "<custom_token_",
        "<custom_token_1234567>",
        "rubbish",
        "<",
        ">",
        "<|eot_id|>",
    ]
    + [f"<custom_token_{10 + slot * CODES_PER_SLOT + code}>" for slot in range(7) for code in (0, 4095)]
)


def parse(text: str, cuts: list[int]) -> tuple[Frames, int]:
    parser = TokenParser()
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    parts = [parser.push(text[a:b]) for a, b in itertools.pairwise(edges)]
    return np.concatenate([*parts, parser.flush()]), parser.dropped_tokens


@given(speeches, st.lists(st.integers(0, 10**6)))
def test_any_split_into_deltas_gives_the_frames_that_were_written(frames: Frames, cuts: list[int]) -> None:
    parsed, dropped = parse(code_tokens(frames), cuts)
    np.testing.assert_array_equal(parsed, frames)
    assert dropped == 0


@given(st.lists(pieces, max_size=40).map("".join), st.lists(st.integers(0, 10**6)))
def test_any_split_of_rubbish_gives_the_same_frames_and_drops(text: str, cuts: list[int]) -> None:
    whole, dropped_whole = parse(text, [])
    split, dropped_split = parse(text, cuts)
    np.testing.assert_array_equal(whole, split)
    assert dropped_whole == dropped_split


def test_code_zero_is_a_code() -> None:
    frames = np.zeros((3, TOKENS_PER_FRAME), dtype=np.int64)
    np.testing.assert_array_equal(parse(code_tokens(frames), [])[0], frames)


def test_first_and_last_id_of_each_slot() -> None:
    frames = np.array([[0] * 7, [4095] * 7], dtype=np.int64)
    text = code_tokens(frames)
    assert "<custom_token_10>" in text
    assert "<custom_token_28681>" in text
    np.testing.assert_array_equal(parse(text, [])[0], frames)


def test_a_stray_token_costs_only_itself() -> None:
    first, second = np.array([[1, 2, 3, 4, 5, 6, 7]]), np.array([[8, 9, 10, 11, 12, 13, 14]])
    tokens = code_tokens(first).replace("><", ">\n<").split("\n")
    stray = "<custom_token_20490>"  # slot 5, due is slot 2
    parsed, dropped = parse("".join([*tokens[:2], stray, *tokens[2:]]) + code_tokens(second), [])
    np.testing.assert_array_equal(parsed, np.concatenate((first, second)))
    assert dropped == 1


def test_a_lost_token_costs_its_frame_and_no_more() -> None:
    first, second = np.array([[1, 2, 3, 4, 5, 6, 7]]), np.array([[8, 9, 10, 11, 12, 13, 14]])
    without_slot_3 = code_tokens(first).replace(f"<custom_token_{10 + 3 * CODES_PER_SLOT + 4}>", "")
    parsed, dropped = parse(without_slot_3 + code_tokens(second), [])
    np.testing.assert_array_equal(parsed, second)
    assert dropped == 6


def test_an_unfinished_frame_at_the_end_is_dropped_and_counted() -> None:
    text = code_tokens(np.array([[1, 2, 3, 4, 5, 6, 7]]))
    parsed, dropped = parse(text[: text.rindex("<")] + "<custom_to", [])
    assert len(parsed) == 0
    assert dropped == 7


def test_empty_deltas_change_nothing() -> None:
    frames = np.array([[1, 2, 3, 4, 5, 6, 7]])
    parser = TokenParser()
    parts = [parser.push(part) for character in code_tokens(frames) for part in ("", character, "")]
    np.testing.assert_array_equal(np.concatenate([*parts, parser.flush()]), frames)
    assert parser.dropped_tokens == 0


@pytest.mark.parametrize(
    "text", ["<custom_token_\u0663\u0664>", "<custom_token_-5>", "<custom_token_1e3>", "<custom_token_>", "\ud800"]
)
def test_what_only_looks_like_a_token_is_dropped_once(text: str) -> None:
    for cuts in ([], list(range(len(text)))):
        parsed, dropped = parse(text, cuts)
        assert (len(parsed), dropped) == (0, 1)


def test_endless_rubbish_is_not_kept() -> None:
    parser = TokenParser()
    for _ in range(10_000):
        assert len(parser.push("<custom_token_1111111111")) == 0
    np.testing.assert_array_equal(parser.push("" + code_tokens(np.array([[1, 2, 3, 4, 5, 6, 7]]))), [range(1, 8)])
    assert parser.dropped_tokens == 1
