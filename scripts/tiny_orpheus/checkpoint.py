"""The folder of a checkpoint, in Hugging Face's layout."""

import json
import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from orpheus_core.layout import BEGIN_OF_TEXT, END_OF_TURN
from tiny_orpheus.circuit import Patch, head_scale, norm_scale, patches
from tiny_orpheus.errors import BuildError
from tiny_orpheus.filling import filled
from tiny_orpheus.shape import Shape
from tiny_orpheus.tokenizer import write_tokenizer
from tiny_orpheus.wires import features

SHARD_BYTES = 10**9
"""Also the memory that a build takes, about twice."""

READABLE = 0o644

BYTES_PER_WEIGHT = 2
"""bfloat16; the constructed values are exact in it or may be off by its rounding."""

ROPE_THETA = 500_000.0
ROPE_SCALING: Mapping[str, object] = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
"""As Llama-3.2-3B has it."""

CONFIG_VERSION = "4.45.0"
"""The transformers whose names the configuration uses, as in Llama-3.2's; newer ones translate them, and without a
version take a large vocabulary for Mistral's."""

OTHER_FILES_BYTES = 64 << 20
"""Room for the tokenizer."""


def build_checkpoint(shape: Shape, out: Path, *, seed: int) -> None:
    """Writes a checkpoint; the folder appears whole, and the same shape and seed give the same bytes.

    Raises:
        BuildError: the folder is in use, or the disk has no room.
        OSError: it cannot be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BuildError(f"--out: {out} is there already: remove it, or name another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    _require_room(shape, out.parent)
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent, ignore_cleanup_errors=True) as draft_name:
        draft = Path(draft_name) / out.name
        draft.mkdir()
        write_tokenizer(shape.vocabulary, draft, max_positions=shape.max_positions)
        _write_json(draft / "config.json", _config(shape))
        _write_json(draft / "generation_config.json", _generation_config(shape))
        _write_weights(shape, draft, seed=seed)
        draft.replace(out)
    total = sum(path.stat().st_size for path in out.iterdir())
    _say(f"{out}: {total / 1e6:.0f} MB after {time.monotonic() - started_s:.0f} s")


def weight_bytes(shape: Shape) -> int:
    """Of all weights together."""
    return BYTES_PER_WEIGHT * sum(math.prod(size) for size in shape.tensors().values())


def _require_room(shape: Shape, folder: Path) -> None:
    needed, free = weight_bytes(shape) + OTHER_FILES_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise BuildError(
            f"--out: the disk of {folder} has {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB are needed: "
            "free some space, or name another folder"
        )


def _write_weights(shape: Shape, folder: Path, *, seed: int) -> None:
    shards = list(_shards(shape))
    circuit = patches(shape)
    numbers = {name: number for number, name in enumerate(shape.tensors())}
    files: dict[str, str] = {}
    for index, names in enumerate(shards, start=1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{index:05}-of-{len(shards):05}.safetensors"
        weights = {name: _weight(name, shape, circuit, seed=seed, number=numbers[name]) for name in names}
        save_file(weights, folder / file, metadata={"format": "pt"})
        # The library keeps its files to their owner; a server may run as somebody else.
        (folder / file).chmod(READABLE)
        files |= dict.fromkeys(names, file)
        _say(f"weights: file {index} of {len(shards)}")
    if len(shards) > 1:
        index_content = {"metadata": {"total_size": weight_bytes(shape)}, "weight_map": files}
        _write_json(folder / "model.safetensors.index.json", index_content)


def _shards(shape: Shape) -> Iterator[list[str]]:
    """Names of the weights, file by file."""
    names: list[str] = []
    filled_bytes = 0
    for name, size in shape.tensors().items():
        tensor_bytes = BYTES_PER_WEIGHT * math.prod(size)
        if names and filled_bytes + tensor_bytes > SHARD_BYTES:
            yield names
            names, filled_bytes = [], 0
        names.append(name)
        filled_bytes += tensor_bytes
    yield names


def _weight(name: str, shape: Shape, circuit: Mapping[str, Patch], *, seed: int, number: int) -> torch.Tensor:
    size = shape.tensors()[name]
    if len(size) == 1:
        return _norm(name, shape)
    weight = filled(name, size, seed=seed, number=number)
    if name == "model.embed_tokens.weight":
        table = torch.from_numpy(features(shape.vocabulary, seed))
        weight[:, : table.shape[1]] = table.to(torch.bfloat16)
    if patch := circuit.get(name):
        _apply(weight, patch)
    return weight


def _norm(name: str, shape: Shape) -> torch.Tensor:
    if name != "model.norm.weight":
        return torch.full((shape.hidden,), norm_scale(shape), dtype=torch.bfloat16)
    weight = torch.zeros(shape.hidden, dtype=torch.bfloat16)
    for wire, scale in head_scale(shape).items():
        weight[wire] = scale
    return weight


def _apply(weight: torch.Tensor, patch: Patch) -> None:
    weight[list(patch.rows)] = 0
    weight[:, list(patch.columns)] = 0
    for (row, column), value in patch.entries.items():
        weight[row, column] = value


def _config(shape: Shape) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": shape.vocabulary.id_of(BEGIN_OF_TEXT),
        "eos_token_id": shape.vocabulary.id_of(END_OF_TURN),
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": shape.max_positions,
        "mlp_bias": False,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": dict(ROPE_SCALING),
        "rope_theta": ROPE_THETA,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": CONFIG_VERSION,
        "use_cache": True,
        "vocab_size": shape.vocabulary.size,
    }


def _generation_config(shape: Shape) -> dict[str, object]:
    """Ends at the end of turn only: whoever serves Orpheus must ask for its end of speech, here too."""
    return {
        "bos_token_id": shape.vocabulary.id_of(BEGIN_OF_TEXT),
        "eos_token_id": shape.vocabulary.id_of(END_OF_TURN),
        "do_sample": True,
    }


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _say(line: str) -> None:
    print(line, flush=True)
