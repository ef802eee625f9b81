"""The tiny checkpoint's tokenizer, in the layout of Orpheus's."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from orpheus_core.layout import (
    BEGIN_OF_TEXT,
    CODE_TOKEN_COUNT,
    CODES_PER_SLOT,
    END_OF_AI,
    END_OF_HUMAN,
    END_OF_SPEECH,
    END_OF_TURN,
    FIRST_CODE_TOKEN,
    START_OF_AI,
    START_OF_HUMAN,
    START_OF_SPEECH,
)
from orpheus_core.prompt import preset_prompt
from orpheus_core.voices import ENGLISH_VOICES
from tiny_orpheus.tokenizer import TOKENIZER_CONFIG_FILE, TOKENIZER_FILE, write_tokenizer
from tiny_orpheus.vocabulary import AUDIO, VOCABULARIES

pytestmark = pytest.mark.server

TEXTS = [
    "Hi.",
    "Line one,\nline two.\tEnd",
    "Ça coûte 5 €, naïve <laugh>",
    "你好, 유나 ऋतिका 🎙",
    "3 < 4 and 6 > 5",
    "<|x",
    " a ",
]


@pytest.fixture(scope="module", params=list(VOCABULARIES))
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(VOCABULARIES[request.param](), folder, max_positions=8192)
    return AutoTokenizer.from_pretrained(folder)


def ids(tokenizer: Any, *tokens: str) -> list[int]:
    return [tokenizer.convert_tokens_to_ids(token) for token in tokens]


@pytest.mark.parametrize("voice", [ENGLISH_VOICES[0], "somebody"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_prompt_becomes_ids_in_the_order_of_the_reference(tokenizer: Any, voice: str, text: str) -> None:
    prompt = preset_prompt(voice=voice, text=text)
    found = tokenizer(prompt).input_ids
    spoken = found[3:-4]
    assert found[:3] == ids(tokenizer, BEGIN_OF_TEXT, START_OF_HUMAN, BEGIN_OF_TEXT)
    assert found[-4:] == ids(tokenizer, END_OF_TURN, END_OF_HUMAN, START_OF_AI, START_OF_SPEECH)
    assert spoken == tokenizer(f"{voice}: {text}", add_special_tokens=False).input_ids
    assert len(spoken) == len(f"{voice}: {text}".encode())
    assert max(spoken) < 256
    assert tokenizer.decode(found) == BEGIN_OF_TEXT + prompt


def test_audio_tokens_are_one_id_each_in_the_order_of_slots_and_codes(tokenizer: Any) -> None:
    numbers = [FIRST_CODE_TOKEN, FIRST_CODE_TOKEN + CODES_PER_SLOT, FIRST_CODE_TOKEN + CODE_TOKEN_COUNT - 1]
    text = "".join(f"<custom_token_{n}>" for n in numbers)
    found = tokenizer(text, add_special_tokens=False).input_ids
    first = tokenizer.convert_tokens_to_ids("<custom_token_0>")
    assert found == [first + n for n in numbers]
    assert tokenizer.decode(found) == text
    assert tokenizer.decode(found, skip_special_tokens=True) == text
    assert tokenizer.decode([tokenizer.convert_tokens_to_ids(BEGIN_OF_TEXT)], skip_special_tokens=True) == ""


@pytest.mark.parametrize("tokenizer", ["full"], indirect=True)
def test_the_full_vocabulary_has_the_ids_of_orpheus(tokenizer: Any) -> None:
    named = (BEGIN_OF_TEXT, END_OF_TURN, START_OF_SPEECH, END_OF_SPEECH, START_OF_HUMAN, END_OF_HUMAN, START_OF_AI)
    assert ids(tokenizer, *named) == [128_000, 128_009, 128_257, 128_258, 128_259, 128_260, 128_261]
    assert ids(tokenizer, END_OF_AI, "<custom_token_10>", "<custom_token_28682>", AUDIO) == [
        128_262, 128_266, 156_938, 156_939,
    ]  # fmt: skip
    assert len(tokenizer) == VOCABULARIES["full"]().size == 156_940


def test_the_files_name_their_tokens(tmp_path: Path) -> None:
    write_tokenizer(VOCABULARIES["small"](), tmp_path, max_positions=8192)
    content = json.loads((tmp_path / TOKENIZER_FILE).read_text(encoding="utf-8"))
    special = {token["content"]: token["special"] for token in content["added_tokens"]}
    assert special[BEGIN_OF_TEXT]
    assert special[END_OF_TURN]
    assert not special[END_OF_SPEECH]
    config = json.loads((tmp_path / TOKENIZER_CONFIG_FILE).read_text(encoding="utf-8"))
    assert (config["bos_token"], config["eos_token"]) == (BEGIN_OF_TEXT, END_OF_TURN)
