"""No text that is let through becomes a control token: with a real tokenizer, Llama's way and the most careless way."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from orpheus_core.errors import InvalidInput
from orpheus_core.layout import BEGIN_OF_TEXT, END_OF_TURN
from orpheus_core.prompt import preset_prompt
from orpheus_core.text import clean_text
from orpheus_core.voices import ENGLISH_TAGS, RELEASED

pytestmark = pytest.mark.server

CONTROLS = [BEGIN_OF_TEXT, END_OF_TURN, "<|end_of_text|>", "<|audio|>", *(f"<custom_token_{n}>" for n in range(40))]

CARELESS = normalizers.Sequence(
    [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Replace(Regex(r"\p{Cf}"), ""), normalizers.Lowercase()]
)
"""Folds everything that a normaliser is known to fold."""


def tokenizer(*, special: bool, normalizer: Any = None) -> Tokenizer:
    """Byte-level, without merges, with Orpheus's control tokens added."""
    vocabulary = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokens = [AddedToken(token, special=special, normalized=normalizer is not None) for token in CONTROLS]
    if normalizer is not None:
        made.normalizer = normalizer
    made.add_special_tokens(tokens) if special else made.add_tokens(tokens)
    return made


TOKENIZERS = {
    "special": tokenizer(special=True),
    "ordinary": tokenizer(special=False),
    "careless": tokenizer(special=False, normalizer=CARELESS),
}
BYTES = len(pre_tokenizers.ByteLevel.alphabet())

LOOKALIKES = ["<", ">", "＜", "＞", "﹤", "﹥", "\u226e", "\u226f", "‹", "〈", "|", "｜", "\u0338", "\u200b", "\u00ad"]
WORDS = ["custom_token_", "CUSTOM_TOKEN_", "custom＿token＿", "eot_id", "audio", "begin_of_text", "laugh", "a", " "]
NUMBERS = ["5", "5", "2", "\u0665", "⑤", "1\u20605", "\u202e"]
texts = st.lists(st.sampled_from([*LOOKALIKES, *WORDS, *NUMBERS, *CONTROLS[:6]]), max_size=14).map("".join)


def controls(made: Tokenizer, prompt: str) -> list[int]:
    return [number for number in made.encode(prompt, add_special_tokens=False).ids if number >= BYTES]


def cleaned(text: str, tags: tuple[str, ...] = ENGLISH_TAGS) -> str | None:
    try:
        return clean_text("text", text, tags=tags, max_chars=400)
    except InvalidInput:
        return None


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_tokenizer_knows_control_tokens(name: str) -> None:
    assert len(controls(TOKENIZERS[name], "".join(CONTROLS))) == len(CONTROLS)
    assert len(controls(TOKENIZERS[name], preset_prompt(voice="tara", text="Hello <laugh>"))) == 6


def test_the_careless_tokenizer_is_fooled_by_lookalikes() -> None:
    assert len(controls(TOKENIZERS["careless"], "＜custom_token_5＞ \u226e\u200b|EOT_id|>")) == 2


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(deadline=None, max_examples=400)
@given(texts)
@example("<custom_token_5")
@example("custom_token_5>")
@example("<|eot_id|")
@example("<<custom_token_5>>")
@example("<custom_<laugh>token_5>")
@example("< <custom_token_5>")
@example("<\u00a0custom_token_5>")
@example("<\u200bcustom_token_5>")
@example("< \u0338custom_token_5>")
@example("3 < 4 and 6 > 5")
def test_no_text_adds_a_control_token_to_its_prompt(name: str, text: str) -> None:
    spoken = cleaned(text)
    if spoken is None:
        return
    made = TOKENIZERS[name]
    assert controls(made, preset_prompt(voice="tara", text=spoken)) == controls(
        made, preset_prompt(voice="tara", text="a")
    )


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("language", RELEASED)
def test_tags_are_let_through_and_are_no_control_tokens(name: str, language: str) -> None:
    tags = RELEASED[language].tags
    spoken = cleaned("a " + " ".join(f"<{tag}>" for tag in tags), tags)
    assert spoken is not None
    assert controls(TOKENIZERS[name], spoken) == []
