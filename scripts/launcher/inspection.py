"""Models looked over before anything is started: what would fail or speak nonsense later is one sentence now."""

import json
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from launcher.errors import LaunchError
from launcher.profile import Codec
from launcher.tokenizer import Tokenizer
from orpheus_core.layout import CODES_PER_SLOT, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, SLOT_CODEBOOK

CONFIG_FILE = "config.json"
INDEX_FILE = "model.safetensors.index.json"
SNAC_WEIGHTS_FILE = "pytorch_model.bin"
FACTS_FILES = ("snac.json", "../recipe.json")
"""What exporters write about their graphs: SNAC's beside them, the demo voice's above them."""

RELEASED_CODEC = "hubertsiuzdak/snac_24khz"
CODES_OF_FRAME = tuple(SLOT_CODEBOOK.count(codebook) for codebook in range(max(SLOT_CODEBOOK) + 1))
VQ_STRIDES = [CODES_OF_FRAME[-1] // count for count in CODES_OF_FRAME]
"""How many of the finest codes one of each codebook spans: 4, 2, 1."""

HEADER_LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""


def inspect_checkpoint(folder: Path, name: str) -> None:
    """
    Raises:
        LaunchError: it lacks files, they are not whole, or they do not belong together.
    """
    config = read_config(folder, f"checkpoint {name!r}")
    tokenizer = Tokenizer.read(folder)
    tokenizer.check()
    _check_vocabulary(config, tokenizer, folder)
    _check_weights(folder, f"checkpoint {name!r}")


def inspect_codec(folder: Path, codec: Codec) -> None:
    """
    Raises:
        LaunchError: it is neither a 24 kHz SNAC nor a graph with the reach and frames that the profile states.
    """
    if (folder / "decoder.onnx").exists():
        for name in FACTS_FILES:
            if (folder / name).exists():
                _check_facts(_read_json(folder / name, "the codec"), folder / name, codec)
        return
    config = read_config(folder, "the codec")
    if not (folder / SNAC_WEIGHTS_FILE).exists():
        raise LaunchError(f"the codec: {folder} lacks {SNAC_WEIGHTS_FILE}: give {RELEASED_CODEC}, or fetch it again")
    expected = {"sampling_rate": SAMPLE_RATE_HZ, "vq_strides": VQ_STRIDES, "codebook_size": CODES_PER_SLOT}
    for key, value in expected.items():
        if config.get(key) != value:
            raise _not_snac(folder / CONFIG_FILE, key, config.get(key, "missing"), value)
    rates = config.get("decoder_rates")
    samples = prod(rates) * VQ_STRIDES[0] if isinstance(rates, list) else 0
    if samples != SAMPLES_PER_FRAME:
        raise _not_snac(
            folder / CONFIG_FILE, "decoder_rates", rates, f"such that a frame has {SAMPLES_PER_FRAME} samples"
        )


def read_config(folder: Path, what: str) -> Mapping[str, Any]:
    """A model's `config.json`.

    Raises:
        LaunchError: it is missing, or no JSON.
    """
    return _read_json(folder / CONFIG_FILE, what)


def _read_json(path: Path, what: str) -> Mapping[str, Any]:
    try:
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LaunchError(f"{what}: {path} is missing: give a complete Hugging Face model folder") from None
    except (ValueError, OSError) as error:
        raise LaunchError(f"{what}: {path} cannot be read ({error}): fetch it again") from None
    return content


def _check_vocabulary(config: Mapping[str, Any], tokenizer: Tokenizer, folder: Path) -> None:
    token, number = max(tokenizer.ids.items(), key=lambda item: item[1])
    size = config.get("vocab_size", 0)
    if number >= size:
        raise LaunchError(
            f"{folder / CONFIG_FILE}: vocab_size is {size}, but the tokenizer's {token} has id {number}: weights and "
            "tokenizer are of different checkpoints: fetch both again"
        )


def _check_weights(folder: Path, what: str) -> None:
    if (folder / INDEX_FILE).exists():
        index = _read_json(folder / INDEX_FILE, what).get("weight_map", {})
        tensors: dict[str, set[str]] = {}
        for tensor, file in index.items():
            tensors.setdefault(file, set()).add(tensor)
    else:
        tensors = {path.name: set() for path in folder.glob("*.safetensors")}
    if not tensors and not any(folder.glob("*.bin")):
        raise LaunchError(f"{what}: {folder} holds no weights (*.safetensors): fetch it again")
    for file, names in sorted(tensors.items()):
        _check_weight_file(folder / file, names, what)


def _check_weight_file(path: Path, names: Iterable[str], what: str) -> None:
    """A file of weights is as long as its own header says, and has the tensors that the index promises."""
    try:
        actual_bytes = path.stat().st_size
        header, expected_bytes = _header(path)
    except FileNotFoundError:
        raise LaunchError(f"{what}: {path} is missing, though {INDEX_FILE} lists it: fetch it again") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise LaunchError(f"{what}: {path} is no safetensors file, or was cut off: fetch it again") from None
    if actual_bytes != expected_bytes:
        raise LaunchError(
            f"{what}: {path} has {actual_bytes:,} bytes instead of the {expected_bytes:,} that its header states: its "
            "download broke off, fetch it again"
        )
    if missing := sorted(set(names) - header.keys()):
        raise LaunchError(f"{what}: {path} lacks {missing[0]}, which {INDEX_FILE} places there: fetch both again")


def _header(path: Path) -> tuple[Mapping[str, Any], int]:
    """Of a safetensors file: its tensors by name, and how many bytes it must have."""
    with path.open("rb") as file:
        length_bytes = int.from_bytes(file.read(HEADER_LENGTH_BYTES), "little")
        if not 0 < length_bytes <= MAX_HEADER_BYTES:
            raise ValueError(length_bytes)
        header = json.loads(file.read(length_bytes))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return header, HEADER_LENGTH_BYTES + length_bytes + max(ends, default=0)


def _check_facts(facts: Mapping[str, Any], path: Path, codec: Codec) -> None:
    for key, value in {"sample_rate_hz": SAMPLE_RATE_HZ, "samples_per_frame": SAMPLES_PER_FRAME}.items():
        if facts.get(key, value) != value:
            raise LaunchError(f"the codec: {path}: {key} is {facts[key]}, Orpheus's frames need {value}: give another")
    reach = facts.get("receptive_field_samples", 0)
    if reach > codec.receptive_field_samples:
        raise LaunchError(
            f"the codec: {path}: its codes reach {reach} samples beyond their frame, the profile's "
            f"receptive_field_samples is {codec.receptive_field_samples}: set that to {reach}, or windows will not join"
        )


def _not_snac(path: Path, key: str, got: object, expected: object) -> LaunchError:
    return LaunchError(
        f"the codec: {path}: {key} is {got}, the 24 kHz SNAC has {expected}, as Orpheus needs it: give {RELEASED_CODEC}"
    )
