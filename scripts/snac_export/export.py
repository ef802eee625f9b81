"""A folder with both graphs and what is known about them."""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from orpheus_core.layout import (
    DECODER_BUCKET_FRAMES,
    SAMPLE_RATE_HZ,
    SAMPLES_PER_FRAME,
    SNAC_RECEPTIVE_FIELD_SAMPLES,
)
from snac_export.onnx_files import write_decoder, write_encoder
from snac_export.parity import QUICK_FRAMES, check_decoder, check_encoder
from snac_export.weights import Codec

DECODER_FILE = "decoder.onnx"
ENCODER_FILE = "encoder.onnx"
FACTS_FILE = "snac.json"
EXPORTER_VERSION = 1


def export(codec: Codec, out: Path, *, lengths_frames: Iterable[int] = QUICK_FRAMES) -> None:
    """Writes `decoder.onnx`, `encoder.onnx` and, last, `snac.json`; each appears whole and only when it is right.

    Raises:
        ExportError: a graph does not do what PyTorch does.
        OSError: the folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=".snac-", dir=out) as draft_folder:
        draft = Path(draft_folder)
        _say(f"decoder ({codec.origin}): tracing ...")
        write_decoder(codec.model, draft / DECODER_FILE)
        worst = check_decoder(codec.model, draft / DECODER_FILE, lengths_frames)
        _say(f"decoder: at most {worst:.1e} from PyTorch; encoder: tracing ...")
        write_encoder(codec.model, draft / ENCODER_FILE)
        equal = check_encoder(codec.model, draft / ENCODER_FILE)
        _say(f"encoder: {equal:.1%} of PyTorch's codes")
        facts = {**_facts(codec, draft), "decoder_max_difference": worst, "encoder_equal_codes": equal}
        (draft / FACTS_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        for name in (DECODER_FILE, ENCODER_FILE, FACTS_FILE):
            (draft / name).replace(out / name)
    _say(f"{out}: {DECODER_FILE}, {ENCODER_FILE}, {FACTS_FILE} after {time.monotonic() - started_s:.0f} s")


def _facts(codec: Codec, folder: Path) -> dict[str, object]:
    return {
        "weights": codec.origin,
        "weights_sha256": codec.sha256,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "samples_per_frame": SAMPLES_PER_FRAME,
        "receptive_field_samples": SNAC_RECEPTIVE_FIELD_SAMPLES,
        "bucket_frames": DECODER_BUCKET_FRAMES,
        "exporter_version": EXPORTER_VERSION,
        "packages": {name: version(name) for name in ("torch", "onnx", "onnxruntime", "snac")},
        "files_sha256": {name: _sha256(folder / name) for name in (DECODER_FILE, ENCODER_FILE)},
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _say(line: str) -> None:
    print(line, flush=True)
