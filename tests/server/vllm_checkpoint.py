"""A small random Llama with a byte-level tokenizer and Orpheus's kind of audio tokens, made in a second."""

import sys
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

AUDIO_TOKENS = 64
BEGIN = "<|begin_of_text|>"
END = "<|eot_id|>"


def build(folder: Path, *, layers: int = 2, hidden: int = 64) -> None:
    """Writes the checkpoint: 256 bytes, the start and end of a text, then `<custom_token_N>`."""
    tokenizer = _tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.token_to_id(BEGIN),
        eos_token_id=tokenizer.token_to_id(END),
        torch_dtype="float32",
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def _tokenizer() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(BEGIN, special=True), AddedToken(END, special=True)])
    tokenizer.add_tokens([AddedToken(f"<custom_token_{number}>", normalized=False) for number in range(AUDIO_TOKENS)])
    begin_id = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin_id)])
    return tokenizer


if __name__ == "__main__":
    build(Path(sys.argv[1]))
