"""Building constructed checkpoints: any size is the same speaker, and the same command gives the same bytes."""

import hashlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import build_tiny_orpheus
from orpheus_core.prompt import preset_prompt
from server.tiny_speech import Speaker, random_speech
from tiny_orpheus import checkpoint
from tiny_orpheus.checkpoint import build_checkpoint, weight_bytes
from tiny_orpheus.circuit import patches
from tiny_orpheus.shape import SHAPES, Shape
from tiny_orpheus.wires import WIRES, features

pytestmark = pytest.mark.server

TINY = SHAPES["tiny"]
SPEECH = preset_prompt(voice="zoe", text="The same words for every size.") + random_speech(24)
FILES = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "checkpoint"
    build_checkpoint(TINY, path, seed=0)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["build_tiny_orpheus.py", *arguments])
    return build_tiny_orpheus.main()


def test_the_command_gives_the_same_bytes_for_the_same_seed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "--out", str(tmp_path / "same")) == 0
    assert run(monkeypatch, "--out", str(tmp_path / "other"), "--seed", "1") == 0
    assert digests(tmp_path / "same") == digests(folder)
    assert set(digests(folder)) == FILES
    changed = {name for name, digest in digests(tmp_path / "other").items() if digest != digests(folder)[name]}
    assert changed == {"model.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == {"same", "other"}


@pytest.mark.parametrize(
    "shape",
    [
        replace(TINY, layers=6, hidden=512, heads=8, kv_heads=4, intermediate=1024),
        replace(TINY, layers=3, hidden=160, heads=5, kv_heads=5, intermediate=32),
    ],
    ids=["grouped", "a key for every head"],
)
def test_every_size_is_the_same_speaker(folder: Path, tmp_path: Path, shape: Shape) -> None:
    build_checkpoint(shape, tmp_path / "sized", seed=0)
    sized, tiny = Speaker(tmp_path / "sized"), Speaker(folder)
    assert sized.model.config.num_hidden_layers == shape.layers
    assert sum(p.numel() for p in sized.model.parameters()) * 2 == weight_bytes(shape)
    difference = (sized.logits(SPEECH) - tiny.logits(SPEECH))[len(sized.ids(SPEECH)) - 24 * 7 :].abs()
    assert float(difference.max()) < 0.5


def test_the_full_vocabulary_says_the_same_of_every_token() -> None:
    small, full = TINY.vocabulary, SHAPES["3b"].vocabulary
    few, many = features(small, 0), features(full, 0)
    np.testing.assert_array_equal(many[:256], few[:256])
    np.testing.assert_array_equal(many[full.first_custom_id :], few[small.first_custom_id :])
    unused = many[256 : full.first_custom_id]
    assert np.unique(unused, axis=0).shape == (1, WIRES)
    np.testing.assert_array_equal(np.unique(few[256 : small.first_custom_id], axis=0), unused[:1])


def test_weights_in_several_files_are_the_same_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 40_000)
    build_checkpoint(TINY, tmp_path / "parts", seed=0)
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 2
    whole, parts = Speaker(folder).model.state_dict(), Speaker(tmp_path / "parts").model.state_dict()
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_what_only_costs_is_never_zero_and_leaves_the_wires_alone(tmp_path: Path) -> None:
    shape = replace(TINY, layers=3, hidden=96, heads=3, kv_heads=3)
    build_checkpoint(shape, tmp_path / "checkpoint", seed=0)
    weights = load_file(tmp_path / "checkpoint" / "model.safetensors")
    circuit = patches(shape)
    for name, weight in weights.items():
        if weight.dim() == 2 and name != "model.embed_tokens.weight":
            patch = circuit.get(name)
            kept_rows = [row for row in range(weight.shape[0]) if patch is None or row not in patch.rows]
            kept_columns = [column for column in range(weight.shape[1]) if patch is None or column not in patch.columns]
            assert bool((weight[kept_rows][:, kept_columns] != 0).all()), name
    for name in ("self_attn.o_proj", "mlp.down_proj"):
        assert not bool(
            weights[f"model.layers.2.{name}.weight"][: len(circuit[f"model.layers.2.{name}.weight"].rows)].any()
        )


def test_the_shape_of_orpheus() -> None:
    shape = SHAPES["3b"]
    assert (shape.head_dim, shape.vocabulary.size) == (128, 156_940)
    # 3,212,749,824 of Llama-3.2-3B and 28,684 ids of 3072.
    assert weight_bytes(shape) == 2 * (3_212_749_824 + 28_684 * 3072)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "1"], "--layers: 1: give at least 2"),
        (["--heads", "3"], "--heads: 3: give a divisor of --hidden, which is 64"),
        (["--kv-heads", "0"], "--kv-heads: 0: give at least 1"),
        (
            ["--hidden", "256", "--heads", "8", "--kv-heads", "3"],
            "--kv-heads: 3: give a divisor of --heads, which is 8",
        ),
        (["--hidden", "48"], "--hidden / --heads: 48 / 2 is 24 a head: make it a multiple of 8, at least 32"),
        (["--hidden", "32", "--heads", "2"], "--hidden: 32: give at least"),
        (["--intermediate", "16"], "--intermediate: 16: give at least 32"),
        (["--seed", "-1"], "--seed: -1: give at least 0"),
    ],
)
def test_impossible_sizes_are_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    assert run(monkeypatch, "--out", str(tmp_path / "out"), *arguments) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_and_a_full_disk_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("dear", encoding="utf-8")
    assert run(monkeypatch, "--out", str(tmp_path / "used")) == 1
    assert "is there already: remove it" in capsys.readouterr().err
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    assert run(monkeypatch, "--out", str(tmp_path / "new")) == 1
    assert "has 0.0 GB free, 0.1 GB are needed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["used"]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(checkpoint, "save_file", broken)
    assert run(monkeypatch, "--out", str(tmp_path / "out")) == 1
    assert not list(tmp_path.iterdir())
