"""Folders of models, as small as the launcher's checks allow."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launcher.tokenizer import CODE_NUMBERS, CONTROLS, byte_letters

LETTERS = byte_letters().values()
TEXT_IDS = {letter: number for number, letter in enumerate(LETTERS)}
FIRST_CUSTOM_ID = len(TEXT_IDS) + 2
"""After `<|begin_of_text|>` and `<|eot_id|>`."""


def added_ids() -> dict[str, int]:
    """Of an own, dense layout."""
    plain = [token for token in CONTROLS if not token.startswith("<custom")]
    ids = {token: len(TEXT_IDS) + place for place, token in enumerate(plain)}
    return ids | {f"<custom_token_{n}>": FIRST_CUSTOM_ID + n for n in (*range(1, 8), *CODE_NUMBERS)}


def tokenizer_table(
    added: Mapping[str, int] | None = None, text: Mapping[str, int] | None = None, **model: Any
) -> dict[str, Any]:
    tokens = added_ids() if added is None else added
    return {
        "model": {"type": "BPE", "vocab": dict(TEXT_IDS if text is None else text), "merges": [], **model},
        "added_tokens": [{"content": token, "id": number} for token, number in tokens.items()],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel"}]},
    }


def write_checkpoint(folder: Path, table: Mapping[str, Any] | None = None, **config: Any) -> Path:
    """Whole and right but for what is given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(table or tokenizer_table()))
    size = FIRST_CUSTOM_ID + CODE_NUMBERS.stop + 1
    (folder / "config.json").write_text(json.dumps({"vocab_size": size, **config}))
    write_safetensors(folder / "model.safetensors", {"a": 100, "b": 28})
    return folder


def write_safetensors(path: Path, tensors: Mapping[str, int]) -> None:
    """Tensors of bytes, of these lengths."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, length in tensors.items():
        header[name] = {"dtype": "U8", "shape": [length], "data_offsets": [end, end + length]}
        end += length
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
