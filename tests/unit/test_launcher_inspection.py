"""Checkpoints and codecs that cannot be served are told in one sentence, before anything starts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.errors import LaunchError
from launcher.inspection import INDEX_FILE, inspect_checkpoint, inspect_codec
from launcher.profile import Codec
from launcher.tokenizer import LLAMA_TEXT_IDS, Tokenizer, byte_letters
from orpheus_core.layout import CODES_PER_SLOT, FIRST_CODE_TOKEN
from unit.launcher_models import TEXT_IDS, added_ids, tokenizer_table, write_checkpoint, write_safetensors

pytestmark = pytest.mark.unit

RELEASED_TEXT = {**TEXT_IDS, **{f"word{n}": n for n in range(len(TEXT_IDS), LLAMA_TEXT_IDS)}}
SNAC = {
    "sampling_rate": 24_000, "vq_strides": [4, 2, 1], "codebook_size": 4096, "decoder_rates": [8, 8, 4, 2],
}  # fmt: skip


def released_ids() -> dict[str, int]:
    custom = {token: 128_256 + int(token[14:-1]) for token in added_ids() if token.startswith("<custom")}
    return {"<|begin_of_text|>": 128_000, "<|eot_id|>": 128_009, **custom}


def pruned_ids() -> dict[str, int]:
    """As the demo voice has them: some codes of each slot, densely numbered."""
    ids = {token: i for token, i in added_ids().items() if not token.startswith("<custom") or int(token[14:-1]) < 8}
    numbers = [FIRST_CODE_TOKEN + slot * CODES_PER_SLOT + code for slot in range(7) for code in range(5 + slot)]
    return ids | {f"<custom_token_{n}>": 1000 + place for place, n in enumerate(numbers)}


def without(token: str, ids: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in ids.items() if name != token}


def swapped(left: str, right: str, ids: dict[str, int]) -> dict[str, int]:
    return {**ids, left: ids[right], right: ids[left]}


@pytest.mark.parametrize(
    ("table", "size"),
    [
        (tokenizer_table(), 30_000),
        (tokenizer_table(released_ids(), RELEASED_TEXT), 156_940),
        (tokenizer_table(pruned_ids()), 2000),
        (tokenizer_table(merges=["Ã ¼", ["Ġ", "ä"]], vocab={**TEXT_IDS, "Ã¼": 900, "Ġä": 901}), 30_000),
    ],
    ids=["own", "released", "pruned", "with merges"],
)
def test_a_checkpoint_that_is_whole_passes(table: dict[str, Any], size: int, tmp_path: Path) -> None:
    inspect_checkpoint(write_checkpoint(tmp_path, table, vocab_size=size), "voice")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (tokenizer_table(without("<custom_token_2>", added_ids())), r"knows no <custom_token_2>: this is not an Orph"),
        (tokenizer_table(without("<|begin_of_text|>", added_ids())), r"knows no <\|begin_of_text\|>"),
        (
            tokenizer_table(swapped("<custom_token_10>", "<custom_token_11>", added_ids())),
            r"<custom_token_10> has id \d+ and <custom_token_11> \d+, which must ascend: fetch the checkpoint again",
        ),
        (
            tokenizer_table({**added_ids(), "<custom_token_12>": added_ids()["<custom_token_11>"]}),
            r"<custom_token_11> and <custom_token_12> have one id, \d+",
        ),
        (
            tokenizer_table(added_ids(), {**TEXT_IDS, "<custom_token_9>": 700}),
            r"<custom_token_9> is no added token, so text would cut it up",
        ),
        (
            tokenizer_table({token: i for token, i in pruned_ids().items() if "n_24" not in token}),
            r"knows no audio token of slot 6: this is not an Orpheus checkpoint",
        ),
        (
            tokenizer_table(without("<custom_token_28681>", released_ids()), RELEASED_TEXT),
            r"knows no <custom_token_28681>: fetch the checkpoint again",
        ),
        (
            tokenizer_table({**released_ids(), "<custom_token_7>": 156_938}, RELEASED_TEXT),
            r"<custom_token_7> has id 156938, Orpheus's is 128263",
        ),
        (
            tokenizer_table(text=without(byte_letters()[0xE4], TEXT_IDS)),
            r"is byte-level, but has no token 'ä', so '.*你好.*' cannot be written",
        ),
        (
            tokenizer_table(text={**TEXT_IDS, "unused": TEXT_IDS[byte_letters()[0xE4]]}),
            r"'.*你好.*' comes back as",
        ),
    ],
    ids=[
        "no end of speech", "no beginning", "swapped", "one id", "no added token", "no slot", "released lacks one",
        "released elsewhere", "no byte", "two for a byte",
    ],
)  # fmt: skip
def test_a_tokenizer_that_is_not_orpheus_s_is_refused(table: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, table, vocab_size=200_000)
    with pytest.raises(LaunchError, match=message):
        inspect_checkpoint(folder, "voice")


def test_one_token_with_two_ids_is_refused(tmp_path: Path) -> None:
    table = tokenizer_table()
    table["added_tokens"].append({"content": "<custom_token_20>", "id": 29_500})
    with pytest.raises(LaunchError, match=r"<custom_token_20> has two ids, \d+ and 29500"):
        inspect_checkpoint(write_checkpoint(tmp_path, table), "voice")


def test_a_tokenizer_of_another_kind_need_not_know_every_byte(tmp_path: Path) -> None:
    table = tokenizer_table(pruned_ids(), {"a": 1})
    table["pre_tokenizer"] = None
    inspect_checkpoint(write_checkpoint(tmp_path, table), "voice")


def test_ids_beyond_the_weights_are_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, vocab_size=28_939)
    with pytest.raises(
        LaunchError, match=r"vocab_size is 28939, but the tokenizer's <custom_token_28681> has id 28939"
    ):
        inspect_checkpoint(folder, "voice")


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def cut_off_in_the_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:20])


def index(folder: Path, **places: str) -> None:
    (folder / INDEX_FILE).write_text(json.dumps({"weight_map": places}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), r"izer\.json is missing: fetch the checkpoint again"),
        (lambda folder: (folder / "tokenizer.json").write_text("[]"), r"no tokenizer that can be read"),
        (lambda folder: (folder / "config.json").unlink(), r"'voice': .*config\.json is missing: give a complete"),
        (lambda folder: (folder / "config.json").write_text("{"), r"'voice': .*config\.json cannot be read"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"'voice': .* holds no weights"),
        (cut_off, r"has [\d,]+ bytes instead of the [\d,]+ that its header states: its download broke off"),
        (cut_off_in_the_header, r"is no safetensors file, or was cut off"),
        (
            lambda folder: index(folder, a="model.safetensors", b="model-2.safetensors"),
            r"model-2\.safetensors is missing, though model\.safetensors\.index\.json lists it",
        ),
        (lambda folder: index(folder, c="model.safetensors"), r"lacks c, which model\.safetensors\.index\.json places"),
    ],
    ids=[
        "no tokenizer", "no table", "no config", "half a config", "no weights", "cut off", "hardly begun",
        "part missing", "another part",
    ],
)  # fmt: skip
def test_files_that_are_not_whole_are_refused(damage: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    damage(folder)
    with pytest.raises(LaunchError, match=message):
        inspect_checkpoint(folder, "voice")


def test_weights_in_parts_pass(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    write_safetensors(folder / "model-2.safetensors", {"c": 5})
    index(folder, a="model.safetensors", b="model.safetensors", c="model-2.safetensors")
    inspect_checkpoint(folder, "voice")


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    stop_ids = Tokenizer.read(folder).stop_token_ids()
    write_checkpoint(tmp_path, tokenizer_table({**added_ids(), "<custom_token_2>": 999}))
    assert Tokenizer.read(folder).stop_token_ids() == (999, stop_ids[1])


def codec_folder(parent: Path, **changes: Any) -> Path:
    (parent / "config.json").write_text(json.dumps({**SNAC, **changes}))
    (parent / "pytorch_model.bin").touch()
    return parent


def test_snac_s_own_weights_pass(tmp_path: Path) -> None:
    inspect_codec(codec_folder(tmp_path), Codec())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sampling_rate": 32_000},
            r"sampling_rate is 32000, the 24 kHz SNAC has 24000.*give hubertsiuzdak/snac_24khz",
        ),
        ({"vq_strides": [8, 4, 2, 1]}, r"vq_strides is \[8, 4, 2, 1\], the 24 kHz SNAC has \[4, 2, 1\]"),
        ({"decoder_rates": [8, 8, 3, 3]}, r"decoder_rates is \[8, 8, 3, 3\], .*a frame has 2048 samples"),
        ({"decoder_rates": None}, r"decoder_rates is None"),
        ({"codebook_size": 2048}, r"codebook_size is 2048"),
    ],
)
def test_another_codec_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=message):
        inspect_codec(codec_folder(tmp_path, **changes), Codec())


def test_a_codec_without_weights_is_refused(tmp_path: Path) -> None:
    (codec_folder(tmp_path) / "pytorch_model.bin").unlink()
    with pytest.raises(LaunchError, match=r"lacks pytorch_model\.bin"):
        inspect_codec(tmp_path, Codec())


@pytest.mark.parametrize("name", ["snac.json", "../recipe.json"])
def test_a_ready_graph_is_held_against_the_profile(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "codec"
    folder.mkdir()
    (folder / "decoder.onnx").touch()
    inspect_codec(folder, Codec(receptive_field_samples=0))
    (folder / name).write_text(json.dumps({"receptive_field_samples": 1920, "sample_rate_hz": 24_000}))
    inspect_codec(folder, Codec(receptive_field_samples=1920))
    with pytest.raises(LaunchError, match=r"reach 1920 samples .* receptive_field_samples is 100: set that to 1920"):
        inspect_codec(folder, Codec(receptive_field_samples=100))
    (folder / name).write_text(json.dumps({"sample_rate_hz": 44_100}))
    with pytest.raises(LaunchError, match=r"sample_rate_hz is 44100, Orpheus's frames need 24000"):
        inspect_codec(folder, Codec())
