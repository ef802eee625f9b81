"""The release: a folder that the launcher serves as it is."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from demo_voice import graphs
from demo_voice.checkpoint import write_checkpoint
from demo_voice.codebook import CODEBOOK_FILE, Codebook
from demo_voice.codec_data import Spoken
from demo_voice.codec_training import Codec
from demo_voice.decoder import RECEPTIVE_FIELD_SAMPLES
from demo_voice.errors import RecipeError
from demo_voice.settings import LmShape
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from orpheus_core.lexicon import Lexicon

MAX_BYTES = 40 * 10**6
CHECKED_SENTENCES = 10
LEXICON_FILE = "lexicon.txt"
"""Where the renderer looks for it in a checkpoint's folder."""
SUMS_FILE = "SHA256SUMS"
FACTS_FILE = "recipe.json"


def export(
    state: dict[str, Tensor], codec: Codec, shape: LmShape, out: Path, *, lexicon: Lexicon,
    codebook: Codebook, facts: Mapping[str, Any], spoken: Sequence[Spoken],
) -> None:  # fmt: skip
    """Writes `lm/`, `codec/`, `recipe.json` and `SHA256SUMS`; `out` is replaced only when all of it is right.

    Args:
        state: weights of the language model, by Hugging Face's names.
        lexicon: how words are written in prompts.
        codebook: what the spectrum codes mean, for a training that goes on from the release.
        facts: what is known of the training, for `recipe.json`.
        spoken: sentences that the graphs are held against.

    Raises:
        RecipeError: a graph does not do what PyTorch does, or the files are too large.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as draft_name:
        draft = Path(draft_name) / out.name
        write_checkpoint(state, shape, draft / "lm")
        (draft / "lm" / LEXICON_FILE).write_text(lexicon.dump(), encoding="utf-8")
        codebook.save(draft / "codec" / CODEBOOK_FILE)
        figures = _write_codec(codec, draft / "codec", spoken[:CHECKED_SENTENCES])
        about = {**facts, **figures, "sample_rate_hz": SAMPLE_RATE_HZ, "samples_per_frame": SAMPLES_PER_FRAME}
        (draft / FACTS_FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        _write_sums(draft)
        _require_small(draft)
        shutil.rmtree(out, ignore_errors=True)
        draft.rename(out)


def _write_codec(codec: Codec, folder: Path, spoken: Sequence[Spoken]) -> dict[str, Any]:
    graphs.write_decoder(codec.decoder, folder / "decoder.onnx")
    graphs.write_encoder(codec.encoder, folder / "encoder.onnx")
    return {
        "receptive_field_samples": RECEPTIVE_FIELD_SAMPLES,
        "decoder_max_difference": graphs.check_decoder(codec.decoder, folder / "decoder.onnx", spoken),
        "encoder_equal_codes": graphs.check_encoder(codec.encoder, folder / "encoder.onnx", spoken),
    }


def _write_sums(folder: Path) -> None:
    """In the format that `sha256sum --check` reads."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / SUMS_FILE).write_text("".join(lines), encoding="ascii")


def _require_small(folder: Path) -> None:
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if total > MAX_BYTES:
        raise RecipeError(f"release: {total / 1e6:.0f} MB: it may have {MAX_BYTES / 1e6:.0f}")
