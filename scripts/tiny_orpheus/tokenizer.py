"""The tokenizer's files: byte-level, without merges, one token a byte."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from orpheus_core.layout import BEGIN_OF_TEXT, END_OF_TURN
from tiny_orpheus.vocabulary import Vocabulary

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"


def write_tokenizer(vocabulary: Vocabulary, folder: Path, *, max_positions: int) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`."""
    build(vocabulary).save(str(folder / TOKENIZER_FILE))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN_OF_TEXT,
        "eos_token": END_OF_TURN,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": max_positions,
    }
    (folder / TOKENIZER_CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def build(vocabulary: Vocabulary) -> Tokenizer:
    """Puts `<|begin_of_text|>` in front of every text, as Llama-3's tokenizer does."""
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary.text_tokens(), merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in vocabulary.controls])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in vocabulary.plain_tokens()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN_OF_TEXT} $A",
        pair=f"{BEGIN_OF_TEXT} $A {BEGIN_OF_TEXT}:1 $B:1",
        special_tokens=[(BEGIN_OF_TEXT, vocabulary.id_of(BEGIN_OF_TEXT))],
    )
    return tokenizer
