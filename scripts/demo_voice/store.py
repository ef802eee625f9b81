"""Files that appear whole or not at all, in folders named by what they were made from."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

CACHE_VARIABLE = "XDG_CACHE_HOME"
READABLE = 0o644


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/orpheus-triton/demo_voice`, else the same under `~/.cache`."""
    base = os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache"
    return Path(base) / "orpheus-triton" / "demo_voice"


def key(*parts: Any) -> str:
    """Twelve hex digits that change with any of the parts: settings, keys of earlier stages, file contents."""
    plain = [asdict(part) if is_dataclass(part) and not isinstance(part, type) else part for part in parts]
    text = json.dumps(plain, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Has a file written under another name beside its place, then puts it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: numpy adds its own to names without it.
    handle, draft_name = tempfile.mkstemp(prefix=".draft-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    draft = Path(draft_name)
    try:
        write(draft)
        # Temporary files are their owner's alone; a server may run as somebody else.
        draft.chmod(READABLE)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """An object as indented JSON, atomically."""
    text = json.dumps(value, indent=2, default=str) + "\n"
    write_atomically(path, lambda draft: draft.write_text(text, encoding="utf-8"))
