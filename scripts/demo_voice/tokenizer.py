"""The tokenizer's files: one token a character, in lower case and without accents."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

from demo_voice.vocabulary import CONTROLS, UNKNOWN, audio_tokens, token_ids
from orpheus_core.layout import BEGIN_OF_TEXT, END_OF_TURN, PAD


def build() -> Tokenizer:
    """Puts `<|begin_of_text|>` in front of every text, as Llama-3's tokenizer does."""
    tokenizer = Tokenizer(models.BPE(vocab=token_ids(), merges=[], unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in CONTROLS])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in audio_tokens()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN_OF_TEXT} $A",
        pair=f"{BEGIN_OF_TEXT} $A {BEGIN_OF_TEXT}:1 $B:1",
        special_tokens=[(BEGIN_OF_TEXT, token_ids()[BEGIN_OF_TEXT])],
    )
    return tokenizer


def write_tokenizer(folder: Path, *, max_positions: int) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`."""
    build().save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN_OF_TEXT,
        "eos_token": END_OF_TURN,
        "pad_token": PAD,
        "unk_token": UNKNOWN,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": max_positions,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
