"""Where the codec's weights come from: a folder, the hub, or a seed."""

import hashlib
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from snac import SNAC

from snac_export.architecture import build, check_config, settle
from snac_export.errors import ExportError
from snac_export.random_weights import randomise

HUB_ID = "hubertsiuzdak/snac_24khz"
RANDOM = "random"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "pytorch_model.bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """A folded model, ready for export."""

    model: SNAC
    origin: str
    """For people: a folder's name, a hub id, or the seed."""
    sha256: str
    """Of the folded weights."""


def load(source: str, *, seed: int = 0, revision: str | None = None) -> Codec:
    """The codec of a folder with `config.json` and `pytorch_model.bin`, of a hub id, or `random`.

    Raises:
        ExportError: the weights cannot be had, or are not those of the 24 kHz SNAC.
    """
    if source == RANDOM:
        model = settle(build())
        randomise(model, seed)
        return Codec(model=model, origin=f"{RANDOM}, seed {seed}", sha256=_sha256(model))
    folder = Path(source).expanduser()
    if folder.is_dir():
        return _read(folder, origin=folder.resolve().name)
    return _read(_fetched(source, revision), origin=source)


def _read(folder: Path, *, origin: str) -> Codec:
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        check_config(config, origin)
        state = torch.load(folder / WEIGHTS_FILE, map_location="cpu", weights_only=True)
        model = build()
        model.load_state_dict(state)
    except FileNotFoundError as error:
        raise ExportError(f"{origin}: {error.filename} is missing; a SNAC folder holds it") from None
    except (ValueError, pickle.UnpicklingError, RuntimeError, TypeError, AttributeError) as error:
        raise ExportError(f"{origin}: unreadable or not the 24 kHz SNAC's: {str(error).splitlines()[0]}") from None
    settle(model)
    return Codec(model=model, origin=origin, sha256=_sha256(model))


def _fetched(hub_id: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415  # slow to import, and needed for the hub only

    print(f"fetching {hub_id} (kept in $HF_HOME) ...", flush=True)
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=[CONFIG_FILE, WEIGHTS_FILE]))
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{hub_id} is no folder and could not be fetched ({type(error).__name__}): check the name and the network, "
            f"give a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, or --weights {RANDOM} for a codec that hums"
        ) from None


def _sha256(model: SNAC) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
