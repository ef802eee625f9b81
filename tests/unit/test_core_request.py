"""Bad input is named, valued and mended; good input becomes a prompt."""

import json
import math
import re
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
    ],
)
def test_bad_input_names_its_field_and_quotes_little(inputs: dict[str, Any], field: str) -> None:
    error = refusal(**inputs)
    assert error.field == field
    assert error.code == "INVALID_ARG"
    assert str(error).startswith(f"{field}: ")
    assert str(error).count(": ") >= 2
    assert "x" * 41 not in str(error)


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


def test_the_checkpoint_list_survives_its_json() -> None:
    text = dump_checkpoints(LOADED)
    assert text.isascii()
    assert load_checkpoints(text) == LOADED


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", '[{"nme": "x"}]', '[{"name": "x"}]'])
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


def test_arithmetic_is_not_a_tag() -> None:
    assert parse(text="3 < 4 and 6 > 5").generation.prompt.count("3 < 4 and 6 > 5") == 1


def _fields(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: getattr(checkpoint, name) for name in checkpoint.__dataclass_fields__}
