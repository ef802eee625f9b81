"""What goes onto a card: the arithmetic, the refusal and its remedies."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launcher import card as card_module
from launcher.artefacts import Artefacts
from launcher.card import Card, check_memory, demand_of, find_card, parse_card
from launcher.errors import LaunchError
from launcher.memory import (
    CONTEXT_BYTES,
    GIB,
    MAX_SHARE,
    Demand,
    EngineNeed,
    ModelShape,
    codec_bytes,
    tokens_per_stream,
)
from launcher.profile import Engine, Profile, available, load
from orpheus_core.checkpoint import Checkpoint
from orpheus_core.length import worst_case_tokens
from unit.launcher_models import write_checkpoint

pytestmark = pytest.mark.unit

CONFIG: dict[str, Any] = {
    "num_hidden_layers": 28, "hidden_size": 3072, "num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 8192, "vocab_size": 156_940, "tie_word_embeddings": True,
}  # fmt: skip
"""Orpheus's."""

ORPHEUS = ModelShape.of(CONFIG)
BF16, FP8 = Engine(), Engine(quantization="fp8")
GPU_PROFILES = [name for name in available() if load(name).profile.device == "gpu"]


def checkpoint(*, can_clone: bool = False, max_text_chars: int = 400) -> Checkpoint:
    return Checkpoint(
        name="english", model="orpheus_llm", stop_token_ids=(1, 2), languages=("en",), voices={"en": ("tara",)},
        default_voice="tara", can_clone=can_clone, max_text_chars=max_text_chars,
    )  # fmt: skip


def demand(engine: Engine, *, card_gb: float, engines: int = 1) -> Demand:
    need = EngineNeed.of(checkpoint(), engine, ORPHEUS)
    return Demand(engines=(need,) * engines, codec_bytes=1_700_000_000, card_bytes=round(card_gb * GIB))


def test_the_weights_are_what_vllm_logs() -> None:
    assert ORPHEUS.body_parameters == pytest.approx(2.819e9, rel=1e-3)
    assert ORPHEUS.table_parameters == pytest.approx(0.482e9, rel=1e-3)
    assert ORPHEUS.weight_bytes(BF16) == pytest.approx(6.602e9, rel=1e-3)
    assert ORPHEUS.weight_bytes(FP8) == pytest.approx(3.783e9, rel=1e-3)
    assert replace(ORPHEUS, is_tied=False).weight_bytes(BF16) == pytest.approx(7.566e9, rel=1e-3)


def test_the_cache_is_what_a_token_takes() -> None:
    assert ORPHEUS.kv_bytes_per_token(BF16) == 114_688
    assert ORPHEUS.kv_bytes_per_token(Engine(kv_cache_dtype="fp8_e4m3")) == 57_344
    assert ORPHEUS.kv_bytes_per_token(Engine(dtype="float32")) == 229_376


def test_a_stream_holds_prompt_reference_and_half_of_its_budget() -> None:
    assert tokens_per_stream(checkpoint()) == 424 + 585 * 7 // 2
    assert tokens_per_stream(checkpoint(can_clone=True)) == tokens_per_stream(checkpoint()) + 351 * 7
    assert tokens_per_stream(checkpoint()) < worst_case_tokens(checkpoint())


def test_the_codec_grows_with_its_largest_batch() -> None:
    small = codec_bytes(weights_bytes=10, bucket_frames=(8, 16), batch=1)
    assert codec_bytes(weights_bytes=20, bucket_frames=(8, 16), batch=1) == small + 10
    wider = codec_bytes(weights_bytes=10, bucket_frames=(8, 64), batch=8)
    assert wider - small == 4 * 4 * 64 * 2048 * (8 * 64 - 16)
    assert codec_bytes(weights_bytes=79_000_000, bucket_frames=(8, 64), batch=8) == pytest.approx(1.7e9, rel=0.02)


def test_the_table_adds_up_and_an_engine_takes_all_of_its_share() -> None:
    given = demand(replace(BF16, gpu_memory_utilization=0.7, max_num_seqs=25), card_gb=24)
    *parts, together = given.rows()
    assert sum(row.size_bytes for row in parts) == together.size_bytes == given.taken_bytes
    assert given.taken_bytes == pytest.approx(0.7 * 24 * GIB + 1.7e9 + CONTEXT_BYTES, abs=2)
    assert [row.what for row in parts if "reserved" in row.what] == ["english: reserved besides"]
    assert given.warnings() == []


def test_a_fixed_cache_reserves_nothing_besides() -> None:
    given = demand(replace(BF16, kv_cache_memory_bytes=GIB, gpu_memory_utilization=0.9), card_gb=24)
    assert given.engines[0].kv_bytes == GIB
    assert given.taken_bytes == given.engines[0].fixed_bytes + GIB + given.codec_bytes + CONTEXT_BYTES


def test_a_share_that_holds_less_than_all_streams_is_told() -> None:
    (told,) = demand(replace(BF16, gpu_memory_utilization=0.45, max_num_seqs=25), card_gb=24).warnings()
    assert "gpu_memory_utilization 0.45 holds the KV cache of 12 streams, max_num_seqs is 25: raise it to 0.6" in told


@pytest.mark.parametrize(
    ("engine", "card_gb", "message"),
    [
        (Engine(gpu_memory_utilization=0.9, max_num_seqs=25), 24, r"gpu_memory_utilization of 'english' \(.*to 0\.71"),
        (Engine(max_num_seqs=8), 24, r"101%, more than 80%: set gpu_memory_utilization"),
        (Engine(gpu_memory_utilization=0.6, max_num_seqs=64), 24, r"lower max_num_seqs of 'english' from 64 to 35 and"),
        (Engine(gpu_memory_utilization=0.6, max_num_seqs=64), 24, r"quantise the weights \(VLLM_QUANTIZATION=fp8\)"),
        (Engine(gpu_memory_utilization=0.6), 8, r"take a larger card, quantise the weights"),
        (Engine(quantization="fp8"), 6, r"take a larger card, or start with --allow-more-memory$"),
        (Engine(kv_cache_memory_bytes=20 * GIB), 24, r"lower kv_cache_memory_bytes of 'english' to \d+"),
    ],
)  # fmt: skip
def test_too_much_is_refused_with_the_knob_to_turn(engine: Engine, card_gb: float, message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        demand(engine, card_gb=card_gb).check()


def test_the_knob_that_is_named_does() -> None:
    demand(Engine(gpu_memory_utilization=0.71, max_num_seqs=25), card_gb=24).check()
    demand(Engine(gpu_memory_utilization=0.71, max_num_seqs=35), card_gb=24).check()


def test_two_engines_share_a_card() -> None:
    engine = Engine(gpu_memory_utilization=0.5, max_num_seqs=4)
    demand(engine, card_gb=24).check()
    with pytest.raises(LaunchError, match="more than 80%"):
        demand(engine, card_gb=24, engines=2).check()


def artefacts(folder: Path, profile: Profile) -> Artefacts:
    for name, size in (("decoder.onnx", 52_000_000), ("encoder.onnx", 27_000_000)):
        with (folder / name).open("wb") as file:
            file.truncate(size)
    made = write_checkpoint(folder / "checkpoint", **CONFIG)
    return Artefacts(
        checkpoints={choice.name: made for choice in profile.checkpoints},
        decoder=folder / "decoder.onnx",
        encoder=folder / "encoder.onnx",
    )


@pytest.mark.parametrize("name", GPU_PROFILES)
def test_every_profile_for_a_card_fits_its_card_with_all_its_streams(name: str, tmp_path: Path) -> None:
    profile = load(name).profile
    card = find_card(profile, {})
    assert card is not None
    given = demand_of(profile, artefacts(tmp_path, profile), card)
    given.check()
    assert given.warnings() == []
    assert 0.5 < given.share <= MAX_SHARE


def test_a_start_shows_the_table_and_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = replace(load("gpu-24gb").profile, card_memory_gb=16)
    monkeypatch.setattr(card_module, "_asked", lambda _environ: "")
    made = artefacts(tmp_path, profile)
    with pytest.raises(LaunchError, match="or start with --allow-more-memory"):
        check_memory(profile, made, allow_more=False)
    check_memory(profile, made, allow_more=True)
    told = capsys.readouterr().out
    assert told.count("Memory of a 16 GB card, by the profile") == 2
    assert "english: weights" in told
    check_memory(replace(profile, card_memory_gb=None), made, allow_more=False)
    assert "The card's memory is not known" in capsys.readouterr().out
    check_memory(load("cpu").profile, made, allow_more=False)
    assert capsys.readouterr().out == ""


def test_nvidia_smi_beats_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "81559, NVIDIA H100 80GB HBM3 ($1)"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    profile = load("gpu-24gb").profile
    assert find_card(profile, {}) == Card("NVIDIA H100 80GB HBM3 (--query-gpu=memory.total,name)", 81_559 << 20)
    found = find_card(profile, {"CUDA_VISIBLE_DEVICES": "3,1"})
    assert found is not None
    assert found.name.endswith("(--id=3)")
    program.write_text("#!/bin/sh\nexit 9\n")
    assert find_card(profile, {}) == Card("a 24 GB card, by the profile", 24 * GIB)


@pytest.mark.parametrize("answer", ["", "[N/A], NVIDIA GH200\n", "No devices were found\n"])
def test_an_answer_without_a_figure_is_none(answer: str) -> None:
    assert parse_card(answer) is None
