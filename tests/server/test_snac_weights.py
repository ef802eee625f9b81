"""Where weights come from, what is refused, and what random ones sound like."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export_snac import main
from orpheus_core.layout import CODES_PER_SLOT, SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from snac_export.architecture import CONFIG, build, settle
from snac_export.errors import ExportError
from snac_export.slots import decode
from snac_export.weights import RANDOM, Codec, load

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

SEED_0_SHA256 = "e842d262afa03b5b6fc522a089a87523e836784d403ad641c86ead14b9da4f37"


def weights_folder(parent: Path, **changes: Any) -> Path:
    folder = parent / "my_snac"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling_rate": 32000},
        {"vq_strides": [8, 4, 2, 1]},
        {"decoder_rates": [8, 8, 3, 3]},
        {"codebook_size": 2048},
        {"attn_window_size": 32},
        {"decoder_dim": 1536},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_snac_is_refused_by_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    ((key, value),) = changes.items()
    with pytest.raises(ExportError) as refusal:
        load(str(weights_folder(tmp_path, **changes)))
    message = str(refusal.value)
    assert message.startswith(f"my_snac is not the 24 kHz SNAC: its {key} is {value}, not {CONFIG[key]}")
    assert "\n" not in message


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = weights_folder(tmp_path)
    torch.save({"decoder.model.0.bias": torch.zeros(3)}, folder / "pytorch_model.bin")
    with pytest.raises(ExportError, match=r"^my_snac: unreadable or not the 24 kHz SNAC's"):
        load(str(folder))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"pytorch_model\.bin is missing"):
        load(str(weights_folder(tmp_path)))


def test_a_folder_of_weights_is_folded_to_the_same_sound_without_its_noise(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = build()
    folder = weights_folder(tmp_path)
    torch.save(trained.state_dict(), folder / "pytorch_model.bin")
    codec = load(str(folder))
    codes = torch.randint(0, CODES_PER_SLOT, (1, 3, TOKENS_PER_FRAME))
    assert codec.origin == "my_snac"
    assert not torch.equal(decode(trained, codes), decode(trained, codes))
    assert torch.equal(decode(codec.model, codes), decode(settle(trained), codes))


def test_a_name_that_leads_nowhere_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("sys.argv", ["export_snac.py", "--weights", "nobody/nothing", "--out", str(tmp_path / "out")])
    assert main() == 1
    error = capsys.readouterr().err
    assert error.startswith("error: nobody/nothing is no folder and could not be fetched")
    assert not (tmp_path / "out").exists()


def test_a_seed_gives_the_same_weights_on_every_machine(codec: Codec) -> None:
    assert codec.sha256 == SEED_0_SHA256
    assert load(RANDOM, seed=1).sha256 != SEED_0_SHA256


@pytest.mark.parametrize("kind", ["mixed", "steady", "zero"])
def test_random_weights_are_heard_and_never_clip(codec: Codec, kind: str) -> None:
    codes = torch.randint(0, CODES_PER_SLOT, (1, 12, TOKENS_PER_FRAME), generator=torch.Generator().manual_seed(3))
    codes = {"mixed": codes, "steady": codes[:, :1].expand_as(codes), "zero": torch.zeros_like(codes)}[kind]
    audio = decode(codec.model, codes).numpy()[0]
    blocks = audio[: len(audio) // 2400 * 2400].reshape(-1, 2400)
    assert 0.05 <= audio.std() <= 0.2
    assert abs(float(audio.mean())) <= 0.05
    assert np.all(np.abs(blocks).max(axis=1) >= 0.1)
    assert np.abs(audio).max() <= 0.9


def test_random_weights_let_codes_be_told_apart(codec: Codec) -> None:
    codes = torch.randint(0, CODES_PER_SLOT, (2, 8, TOKENS_PER_FRAME), generator=torch.Generator().manual_seed(4))
    first, second = decode(codec.model, codes).numpy()
    assert abs(float(np.corrcoef(first, second)[0, 1])) < 0.8


def test_most_of_the_hum_is_low(codec: Codec) -> None:
    codes = torch.randint(0, CODES_PER_SLOT, (1, 12, TOKENS_PER_FRAME), generator=torch.Generator().manual_seed(5))
    audio = decode(codec.model, codes).numpy()[0]
    power = np.abs(np.fft.rfft(audio - audio.mean())) ** 2
    below_4_khz = round(4000 * len(audio) / 24000)
    assert len(audio) == 12 * SAMPLES_PER_FRAME
    assert power[:below_4_khz].sum() >= 0.9 * power.sum()
