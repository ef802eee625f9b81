"""The language model as a Hugging Face folder, and back into training."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from demo_voice.settings import LmShape
from demo_voice.tokenizer import write_tokenizer
from demo_voice.vocabulary import SIZE, token_ids
from orpheus_core.layout import BEGIN_OF_TEXT, END_OF_TURN

WEIGHTS_FILE = "model.safetensors"
READABLE = 0o644


def write_checkpoint(state: dict[str, Tensor], shape: LmShape, folder: Path) -> None:
    """Weights in bfloat16, configuration and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: weight.to(torch.bfloat16).contiguous() for name, weight in state.items()}
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    # The library keeps its files to their owner; a server may run as somebody else.
    (folder / WEIGHTS_FILE).chmod(READABLE)
    _write_json(folder / "config.json", config(shape))
    ends = {"bos_token_id": token_ids()[BEGIN_OF_TEXT], "eos_token_id": token_ids()[END_OF_TURN], "do_sample": True}
    _write_json(folder / "generation_config.json", ends)
    write_tokenizer(folder, max_positions=shape.max_positions)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Weights in float32, to train on from a release where no training's state is left."""
    return {name: weight.float() for name, weight in load_file(folder / WEIGHTS_FILE).items()}


def config(shape: LmShape) -> dict[str, Any]:
    """`config.json` of a Llama."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": token_ids()[BEGIN_OF_TEXT],
        "eos_token_id": token_ids()[END_OF_TURN],
        "head_dim": shape.hidden // shape.heads,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": shape.max_positions,
        "mlp_bias": False,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.heads,
        "rms_norm_eps": shape.norm_epsilon,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": SIZE,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
