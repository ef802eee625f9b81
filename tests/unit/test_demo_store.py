"""Files of the recipe appear whole or not at all, under names that tell what they were made from."""

from pathlib import Path

import pytest

from demo_voice.arguments import read_arguments
from demo_voice.settings import CorpusSettings, LmSettings, LmShape
from demo_voice.store import default_cache, key, write_atomically, write_json

pytestmark = pytest.mark.unit


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "part" / "file.json"
    write_json(path, {"a": 1})

    def fail(draft: Path) -> None:
        draft.write_text("half")
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write_atomically(path, fail)
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_a_key_changes_with_every_setting() -> None:
    keys = {
        key(CorpusSettings()),
        key(CorpusSettings(seed=1)),
        key(LmSettings()),
        key(LmSettings(shape=LmShape(layers=2))),
        key(LmSettings(), "corpus"),
    }
    assert len(keys) == 5
    assert key(LmSettings()) == key(LmSettings())


def test_the_cache_is_the_user_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "orpheus-triton" / "demo_voice"


def test_an_unknown_stage_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["vocoder"])
    assert "corpus" in capsys.readouterr().err
