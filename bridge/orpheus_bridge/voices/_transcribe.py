"""What is said in a WAV file; run as a script by `transcribe.py`, in a child, where faster-whisper is installed."""

import importlib.util
import io
import sys
import warnings
from pathlib import Path

from orpheus_bridge.voices._child_limits import answer, restricted

WEIGHTS = "model.bin"
"""What a folder in CTranslate2's format holds."""


def main() -> None:
    """Answers with `text`, or with `missing`."""
    request = restricted(writes_files=True)
    try:
        from faster_whisper import WhisperModel  # noqa: PLC0415
    except ImportError:
        answer({"missing": "no recogniser is installed: install the extra 'transcribe' of this project"})
        return
    wav = sys.stdin.buffer.read()
    warnings.simplefilter("ignore")
    try:
        model = WhisperModel(
            weights(request["model"]), device="cpu", compute_type="int8", cpu_threads=request["threads"]
        )
    except (OSError, RuntimeError, ValueError):
        answer({"missing": f"the recogniser's model {request['model']!r} cannot be loaded: name a folder or a package"})
        return
    segments, _ = model.transcribe(
        io.BytesIO(wav), language=request["language"], beam_size=5, condition_on_previous_text=False
    )
    answer({"text": " ".join(segment.text.strip() for segment in segments).strip()})


def weights(model: str) -> str:
    """The folder itself, the folder inside the package of this name, or a name for faster-whisper to look up."""
    if Path(model).is_dir() or not model.isidentifier():
        return model
    spec = importlib.util.find_spec(model)
    for place in (spec and spec.submodule_search_locations) or ():
        for found in sorted(Path(place).rglob(WEIGHTS)):
            return str(found.parent)
    return model


if __name__ == "__main__":
    main()
