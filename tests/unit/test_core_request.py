"""Bad input is named, valued and mended; good input becomes a prompt."""

import json
import math
import re
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_core.checkpoint import Checkpoint, dump_checkpoints, load_checkpoints
from orpheus_core.errors import InvalidInput
from orpheus_core.length import budget_frames, frames_in, worst_case_tokens
from orpheus_core.request import SpeechRequest, parse_request
from orpheus_core.text import clean_text
from orpheus_core.voices import ENGLISH_TAGS, ENGLISH_VOICES

pytestmark = pytest.mark.unit

ENGLISH = Checkpoint(
    name="english",
    model="orpheus_llm",
    stop_token_ids=(128258,),
    languages=("en",),
    voices={"en": ENGLISH_VOICES},
    default_voice="tara",
    tags={"en": ENGLISH_TAGS},
)
GERMAN = Checkpoint(
    name="german",
    model="orpheus_llm_german",
    stop_token_ids=(128258,),
    languages=("de",),
    voices={"de": ("jana", "thomas")},
    default_voice="jana",
)
CLONER = Checkpoint(
    name="cloner",
    model="orpheus_llm_cloner",
    stop_token_ids=(128258,),
    languages=("en",),
    voices={},
    default_voice="",
    can_clone=True,
)
LOADED = (ENGLISH, GERMAN, CLONER)


def tensor(value: Any) -> Any:
    if isinstance(value, str | bytes):
        return np.array([value.encode() if isinstance(value, str) else value], dtype=np.object_)
    if isinstance(value, bool):
        return np.array([value])
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, float):
        return np.array([value], dtype=np.float32)
    return np.atleast_1d(np.array(value))


def parse(loaded: tuple[Checkpoint, ...] = LOADED, **inputs: Any) -> SpeechRequest:
    return parse_request({name: tensor(value) for name, value in inputs.items()}, loaded)


def refusal(loaded: tuple[Checkpoint, ...] = LOADED, **inputs: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse(loaded, **inputs)
    return caught.value


def test_the_defaults_make_orpheus_s_prompt() -> None:
    request = parse(text="Hello\n there <laugh>")
    assert request.checkpoint is ENGLISH
    assert request.generation.prompt == (
        "<custom_token_3><|begin_of_text|>tara: Hello there <laugh><|eot_id|>"
        "<custom_token_4><custom_token_5><custom_token_1>"
    )
    assert request.trim_silence
    body = json.loads(request.generation.sampling_parameters(ENGLISH))
    assert body["temperature"] == 0.6
    assert body["top_p"] == 0.9
    assert body["repetition_penalty"] == 1.1
    assert body["stop_token_ids"] == [128258]
    assert body["skip_special_tokens"] is False
    assert "seed" not in body


def test_float32_inputs_keep_their_decimal_value() -> None:
    body = json.loads(parse(text="a", temperature=0.1, top_p=0.05, seed=7).generation.sampling_parameters(ENGLISH))
    assert (body["temperature"], body["top_p"], body["seed"]) == (0.1, 0.05, 7)


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": " \n\t "}, "text"),
        ({"text": "x" * 401}, "text"),
        ({"text": "a\x07b"}, "text"),
        ({"text": b"\xff\xfe"}, "text"),
        ({"text": "say <custom_token_5>"}, "text"),
        ({"text": "say <|eot_id|>"}, "text"),
        ({"text": "say <whisper>"}, "text"),
        ({"text": "a", "voice": "julia"}, "voice"),
        ({"text": "a", "voice": ""}, "voice"),
        ({"text": "a", "voice": "jana", "language": "en"}, "voice"),
        ({"text": "a", "language": "pt-BR"}, "language"),
        ({"text": "a", "temperature": math.nan}, "temperature"),
        ({"text": "a", "temperature": 0.0}, "temperature"),
        ({"text": "a", "top_p": math.inf}, "top_p"),
        ({"text": "a", "repetition_penalty": 0.9}, "repetition_penalty"),
        ({"text": "a", "seed": -1}, "seed"),
        ({"text": "a", "max_seconds": 0.1}, "max_seconds"),
        ({"text": "a", "max_seconds": 61.0}, "max_seconds"),
        ({"text": "a", "reference_text": "b"}, "reference_codes"),
        ({"text": "a", "reference_codes": [0] * 7}, "reference_text"),
        ({"text": "a", "reference_text": "b", "reference_codes": [0] * 6}, "reference_codes"),
        ({"text": "a", "reference_text": "b", "reference_codes": []}, "reference_codes"),
        ({"text": "a", "reference_text": "b", "reference_codes": [4096] * 7}, "reference_codes"),
        ({"text": "a", "reference_text": "b", "reference_codes": [-1] * 7}, "reference_codes"),
        ({"text": "a", "reference_text": "b", "reference_codes": [0] * 7 * 352}, "reference_codes"),
        ({"text": "a", "reference_text": "<custom_token_2>", "reference_codes": [0] * 7}, "reference_text"),
        ({"text": "a", "voice": "tara", "reference_text": "b", "reference_codes": [0] * 7}, "voice"),
        ({}, "text"),
        ({"text": "\u200b\u2060\u0301"}, "text"),
        ({"text": "a\x85b"}, "text"),
        ({"text": b"\xed\xa0\x80"}, "text"),
        ({"text": "a", "voice": "TARA"}, "voice"),
        ({"text": "a", "voice": b"\xff"}, "voice"),
        ({"text": "a", "voice": "v" * 10**6}, "voice"),
        ({"text": "a", "language": ""}, "language"),
        ({"text": "a", "language": "-"}, "language"),
        ({"text": "a", "language": "en\x00"}, "language"),
        ({"text": "a", "language": "english"}, "language"),
        ({"text": "a", "temperature": -math.inf}, "temperature"),
        ({"text": "a", "temperature": 3.4e38}, "temperature"),
        ({"text": "a", "temperature": np.zeros(0, np.float32)}, "temperature"),
        ({"text": "a", "temperature": np.full(2, 0.5, np.float32)}, "temperature"),
        ({"text": "a", "temperature": "0.5"}, "temperature"),
        ({"text": "a", "top_p": 0.0}, "top_p"),
        ({"text": "a", "repetition_penalty": math.nan}, "repetition_penalty"),
        ({"text": "a", "seed": np.zeros(0, np.int64)}, "seed"),
        ({"text": "a", "seed": 0.5}, "seed"),
        ({"text": "a", "seed": np.iinfo(np.int64).min}, "seed"),
        ({"text": "a", "max_seconds": math.nan}, "max_seconds"),
        ({"text": "a", "max_seconds": 0.19999}, "max_seconds"),
        ({"text": "a", "max_seconds": 60.001}, "max_seconds"),
        ({"text": "a", "trim_silence": np.zeros(0, np.bool_)}, "trim_silence"),
        ({"text": np.zeros(0, np.object_)}, "text"),
        ({"text": np.array([b"a", b"b"], np.object_)}, "text"),
        ({"text": np.zeros(1, np.float32)}, "text"),
        ({"text": "a", "reference_text": "b", "reference_codes": [0]}, "reference_codes"),
        ({"text": "a", "reference_text": "", "reference_codes": [0] * 7}, "reference_text"),
        ({"text": "a", "reference_text": "b", "reference_codes": np.full(7, np.nan, np.float32)}, "reference_codes"),
        ({"text": "a", "reference_text": "b", "reference_codes": np.full(7, 2**64 - 1, np.uint64)}, "reference_codes"),
    ],
)
def test_bad_input_names_its_field_and_quotes_little(inputs: dict[str, Any], field: str) -> None:
    error = refusal(**inputs)
    assert error.field == field
    assert error.code == "INVALID_ARG"
    assert str(error).startswith(f"{field}: ")
    assert str(error).count(": ") >= 2
    assert "x" * 41 not in str(error)
    assert len(str(error)) < 400
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("language", "name"), [("EN-us", "english"), (" en_GB ", "english"), ("De-at", "german"), ("de", "german")]
)
def test_a_language_is_matched_by_its_primary_subtag(language: str, name: str) -> None:
    assert parse(text="a", language=language).checkpoint.name == name


def test_zh_cn_means_zh() -> None:
    chinese = Checkpoint(**{**_fields(ENGLISH), "languages": ("zh",), "voices": {"zh": ("长乐",)}})
    assert parse((chinese,), text="你好", language=" zh-cn").generation.prompt.count("长乐: 你好") == 1


def test_a_language_without_voices_is_not_spoken() -> None:
    mute = Checkpoint(**{**_fields(ENGLISH), "languages": ("en", "fr"), "voices": {"en": ENGLISH_VOICES, "fr": ()}})
    assert "send one of en" in str(refusal((mute,), text="a", language="fr"))
    only_mute = Checkpoint(**{**_fields(mute), "voices": {"fr": ()}})
    assert "send one" in str(refusal((only_mute,), text="a"))


def test_values_at_their_limits_pass() -> None:
    lowest = parse(text="a", temperature=0.1, top_p=0.05, repetition_penalty=1.0, seed=0, max_seconds=0.2).generation
    highest = parse(text="x" * 400, temperature=1.5, top_p=1.0, repetition_penalty=2.0, max_seconds=60.0).generation
    assert (lowest.max_frames, highest.max_frames) == (2, 703)
    assert (lowest.seed, highest.seed) == (0, None)
    assert parse(text="a", seed=np.iinfo(np.int64).max).generation.seed == 2**63 - 1
    assert parse(text="a", seed=np.array(7)).generation.seed == 7


def test_a_reference_at_its_limits_passes() -> None:
    request = parse(text="a", reference_text="b", reference_codes=[0, 4095, 0, 4095, 0, 4095, 0] * 351)
    assert request.checkpoint is CLONER
    # Every frame repeats the first one's coarse code, and training has left such out.
    assert request.generation.prompt.count("<custom_token_10>") == 1


def test_a_huge_text_is_refused_in_no_time() -> None:
    started_s = time.process_time()
    assert "send at most 400 at once" in str(refusal(text=" " * 4_000_000 + "a"))
    assert "send at most 400 at once" in str(refusal(text="<" * 3200))
    assert time.process_time() - started_s < 0.05


def test_an_unknown_voice_lists_those_of_the_language() -> None:
    assert "jana, thomas" in str(refusal(text="a", language="de-AT", voice="tara"))
    assert "tara" not in str(refusal(text="a", language="de", voice="dora")).removeprefix("voice: ")


def test_a_voice_alone_finds_its_language() -> None:
    request = parse(text="Guten Tag", voice="thomas")
    assert request.checkpoint is GERMAN
    assert parse(text="Guten Tag", language="DE_de").checkpoint is GERMAN


def test_a_reference_goes_to_the_checkpoint_that_clones() -> None:
    request = parse(text="Hello", reference_text="Hi there", reference_codes=[1, 2, 3, 4, 5, 6, 7, 1, 0, 0, 0, 0, 0, 0])
    assert request.checkpoint is CLONER
    prompt = request.generation.prompt
    assert "voice" not in prompt
    assert prompt.startswith("<custom_token_3><|begin_of_text|>Hi there<|eot_id|>")
    # The second frame repeats the first one's coarse code and is left out, as in training.
    assert "<custom_token_1><custom_token_11><custom_token_4108>" in prompt
    assert prompt.count("<custom_token_2><custom_token_6>") == 1
    assert "<custom_token_10>" not in prompt


def test_without_a_cloning_checkpoint_a_reference_is_refused() -> None:
    assert "no loaded checkpoint clones" in str(
        refusal((ENGLISH,), text="a", reference_text="b", reference_codes=[0] * 7)
    )


def test_the_budget_grows_with_text_and_tags_and_fits_the_model() -> None:
    assert budget_frames(ENGLISH, "x" * 100) == frames_in(2 + 12)
    assert budget_frames(ENGLISH, "x" * 100 + "<laugh>") == frames_in(2 + 12 + 1.2)
    assert parse(text="x" * 100, max_seconds=0.2).generation.max_frames == 2
    cramped = Checkpoint(**{**_fields(ENGLISH), "max_model_len": 256})
    assert parse((cramped,), text="x" * 100).generation.max_frames == (256 - 1 - 104 - 24) // 7
    assert "shorten" in str(refusal((cramped,), text="x" * 300))


def test_the_worst_case_of_the_english_model_fits_its_length() -> None:
    assert worst_case_tokens(ENGLISH) <= 8192


def test_the_worst_case_counts_spellings_and_the_text_of_a_reference() -> None:
    chars, usual = ENGLISH.max_text_chars, worst_case_tokens(ENGLISH)
    assert worst_case_tokens(ENGLISH, 2.5) == usual + 1.5 * chars
    cloning = Checkpoint(**{**_fields(ENGLISH), "can_clone": True})
    assert worst_case_tokens(cloning) == usual + chars + 7 * frames_in(30.0)


def test_the_checkpoint_list_survives_its_json() -> None:
    text = dump_checkpoints(LOADED)
    assert text.isascii()
    assert load_checkpoints(text) == LOADED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "[1]",
        '[{"nme": "x"}]',
        '[{"name": "x"}]',
        '[{"name": "x", "voices": 5}]',
        '[{"decoder": {}}]',
        '[{"decoder": 1}]',
        '[{"stop_token_ids": 1}]',
        '[{"budget": {"base": 1}}]',
    ],
)
def test_a_broken_checkpoint_list_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="render the repository again"):
        load_checkpoints(text)


@given(
    st.lists(
        st.sampled_from(["<", ">", "|", "custom_token_5", "eot_id", "laugh", " ", "\u200b", "\u0338", "＜", "＞", "a"])
    )
)
def test_no_control_token_gets_through(parts: list[str]) -> None:
    try:
        text = clean_text("text", "".join(parts), tags=ENGLISH_TAGS, max_chars=1000)
    except InvalidInput:
        return
    assert set(re.findall(r"<(?! )[^<>]*>", text)) <= {f"<{tag}>" for tag in ENGLISH_TAGS}


@given(st.text(max_size=60))
def test_any_text_is_either_refused_or_one_clean_line(text: str) -> None:
    try:
        cleaned = clean_text("text", text, tags=ENGLISH_TAGS, max_chars=50)
    except InvalidInput:
        return
    assert 1 <= len(cleaned) <= 50
    assert cleaned == " ".join(cleaned.split())
    assert clean_text("text", cleaned, tags=ENGLISH_TAGS, max_chars=50) == cleaned
    cleaned.encode()


def test_arithmetic_is_not_a_tag() -> None:
    assert parse(text="3 < 4 and 6 > 5").generation.prompt.count("3 < 4 and 6 > 5") == 1


def _fields(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: getattr(checkpoint, name) for name in checkpoint.__dataclass_fields__}
