"""The parts of the vLLM backend that need neither Triton nor vLLM."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_backend.cores import bound_threads
from llm_backend.deltas import Delta, Groups
from llm_backend.early_cancels import EarlyCancels
from llm_backend.errors import InvalidInput
from llm_backend.request import Extras, is_cancel, read_generation
from llm_backend.sampling import CHECKS, INT64_MAX, check_token_ids, read_sampling

pytestmark = pytest.mark.server

ORPHEUS = {
    "temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.1, "max_tokens": 1200, "stop_token_ids": [258, 9],
    "skip_special_tokens": False, "spaces_between_special_tokens": False, "seed": INT64_MAX,
}  # fmt: skip

PIECES = st.lists(st.tuples(st.text(max_size=5), st.integers(0, 9)), min_size=1, max_size=40)


def test_what_orpheus_sends_is_passed_on_as_it_is() -> None:
    assert read_sampling(json.dumps(ORPHEUS)) == ORPHEUS


def test_numbers_may_be_strings_and_null_counts_as_absent() -> None:
    given_text = '{"temperature": "0.1", "max_tokens": "7", "seed": null, "logit_bias": {"5": -100}, "stop": "end"}'
    expected = {"temperature": 0.1, "max_tokens": 7, "logit_bias": {5: -100.0}, "stop": ["end"]}
    assert read_sampling(given_text) == expected


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("temperature", "warm", "a number from 0 to 2"),
        ("temperature", True, "a number from 0 to 2"),
        ("temperature", float("inf"), "a number from 0 to 2"),
        pytest.param("temperature", 10**400, "a number from 0 to 2", id="huge"),
        ("top_p", 0, "a number above 0 up to 1"),
        ("repetition_penalty", -1.5, "a number above 0 up to 10"),
        ("max_tokens", 0, "a whole number from 1 to"),
        ("max_tokens", 2.5, "a whole number from 1 to"),
        ("top_k", 2**31, "a whole number from -1 to"),
        ("seed", 2**63, "a whole number from -1 to"),
        ("ignore_eos", 1, "true or false"),
        ("stop_token_ids", 258, "a list of token ids"),
        ("stop_token_ids", ["x"], "a list of token ids"),
        pytest.param("stop_token_ids", list(range(5000)), "a list of token ids, at most 4096", id="long"),
        ("stop", [""], "a string or a list of strings, none of them empty"),
        ("logit_bias", {"x": 1}, "an object of token ids with numbers"),
        ("logit_bias", {"1": 101}, "an object of token ids with numbers"),
        ("n", 2, "1, or leave it out"),
    ],
)
def test_a_wrong_value_is_told_with_key_value_and_fix(key: str, value: object, fix: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_sampling(json.dumps({key: value}))
    told, _, advice = str(caught.value).partition(": send ")
    field, _, got = told.partition(": ")
    assert field == f"sampling_parameters.{key}"
    assert advice.startswith(fix)
    assert 0 < len(got) <= 40


@pytest.mark.parametrize("text", ["", "[]", "7", "{'temperature': 1}", "[" * 100_000])
def test_what_is_no_json_object_is_told(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^sampling_parameters: .*: send a JSON object"):
        read_sampling(text)


def test_an_unknown_key_is_told_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_sampling('{"temprature": 1}')
    assert str(caught.value) == (
        f"sampling_parameters: 'temprature': no such key; there are {', '.join(sorted(CHECKS))}"
    )


@pytest.mark.parametrize("sampling", [{"stop_token_ids": [100]}, {"logit_bias": {-1: 5.0}}])
def test_tokens_that_the_model_lacks_are_told(sampling: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="this model's tokens are 0 to 99"):
        check_token_ids(sampling, 100)


def test_a_request_is_read_with_its_defaults() -> None:
    whole = read_generation({"text_input": "ja, möglich".encode()}, "{}")
    assert (whole.prompt, whole.is_streamed, whole.prompt_first, whole.extras) == ("ja, möglich", False, True, Extras())
    inputs = {"text_input": b"x", "stream": True, "sampling_parameters": b'{"seed": 3}', "return_finish_reason": True}
    stream = read_generation(inputs, '{"temperature": 1}')
    assert (stream.is_streamed, stream.prompt_first, stream.sampling) == (True, False, {"seed": 3})
    assert stream.extras == Extras(finish_reason=True)


def test_parameters_stand_in_for_absent_sampling_parameters() -> None:
    assert read_generation({"text_input": b"x"}, '{"temperature": 1, "cancel": false}').sampling == {"temperature": 1.0}


@pytest.mark.parametrize(("parameters", "expected"), [("", False), ("{}", False), ('{"cancel": true}', True)])
def test_a_cancel_call_is_told_from_a_request(parameters: str, expected: bool) -> None:
    assert is_cancel(parameters) is expected


@given(PIECES, st.integers(1, 12))
def test_groups_lose_and_double_nothing(pieces: list[tuple[str, int]], size: int) -> None:
    groups = Groups(size)
    deltas = [Delta(text=text, tokens=tokens) for text, tokens in pieces]
    deltas[-1] = Delta(text=deltas[-1].text, tokens=deltas[-1].tokens, finish_reason="stop")
    sent = [group for delta in deltas if (group := groups.push(delta))]
    assert "".join(group.text for group in sent) == "".join(text for text, _ in pieces)
    assert sum(group.tokens for group in sent) == sum(tokens for _, tokens in pieces)
    assert all(group.tokens >= size for group in sent[:-1])
    assert [group.finish_reason for group in sent] == [None] * (len(sent) - 1) + ["stop"]


def test_early_cancels_are_taken_once_and_forgotten_in_time() -> None:
    now = 0.0
    early = EarlyCancels(kept_s=30, max_kept=3, clock=lambda: now)
    early.remember("a")
    assert early.take("a")
    assert not early.take("a")
    early.remember("b")
    now = 29.9
    early.remember("c")
    now = 30.0
    assert not early.take("b")
    assert early.take("c")
    for name in "defg":
        early.remember(name)
    assert len(early) == 3
    assert (early.take("d"), early.take("e"), early.take("g")) == (False, True, True)


def test_threads_are_bounded_unless_somebody_decided() -> None:
    environ: dict[str, str] = {}
    bound_threads(environ, 8)
    assert environ == {
        "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "4", "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }  # fmt: skip
    decided = {"VLLM_CPU_OMP_THREADS_BIND": "0-3"}
    bound_threads(decided, 8)
    assert decided == {"VLLM_CPU_OMP_THREADS_BIND": "0-3"}
