"""The rendered repository, parsed back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2

from launcher.artefacts import Artefacts
from launcher.errors import LaunchError
from launcher.paths import CHECKOUT
from launcher.profile import CheckpointChoice, Codec, Engine, Profile, Streams, available, load
from launcher.render import DIGEST_FILE, FLAGS_FILE, flags, parse_config, plan, render
from orpheus_core.checkpoint import load_checkpoints

pytestmark = pytest.mark.unit

END_OF_SPEECH_ID, END_OF_TURN_ID = 258, 9
KIND = model_config_pb2.ModelInstanceGroup.Kind


def checkpoint_folder(parent: Path, *, tokens: dict[str, int] | None = None) -> Path:
    folder = parent / "checkpoint"
    folder.mkdir(exist_ok=True)
    known = {"<custom_token_2>": END_OF_SPEECH_ID, "<|eot_id|>": END_OF_TURN_ID} if tokens is None else tokens
    added = [{"content": content, "id": number} for content, number in known.items()]
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {}}, "added_tokens": added}))
    return folder


def artefacts(parent: Path, *names: str) -> Artefacts:
    folder = checkpoint_folder(parent)
    for name in ("decoder.onnx", "encoder.onnx"):
        (parent / name).write_bytes(name.encode())
    return Artefacts(
        checkpoints=dict.fromkeys(names or ("english",), folder),
        decoder=parent / "decoder.onnx",
        encoder=parent / "encoder.onnx",
    )


def profile(*names: str, max_text_chars: int = 400, streams: Streams | None = None) -> Profile:
    choices = tuple(
        CheckpointChoice(name=name, source="tiny", max_text_chars=max_text_chars, engine=Engine(max_model_len=8192))
        for name in names or ("english",)
    )
    return Profile(description="a test", checkpoints=choices, streams=streams or Streams())


def test_every_model_has_its_instances_written_out(tmp_path: Path) -> None:
    out = tmp_path / "repository"
    render(profile(streams=Streams(max_streams=10, bls_instances=3)), artefacts(tmp_path), out)
    groups = {path.parent.name: parse_config(path).instance_group for path in out.glob("*/config.pbtxt")}
    assert {name: [(g.count, KIND.Name(g.kind)) for g in group] for name, group in groups.items()} == {
        "orpheus_llm": [(1, "KIND_MODEL")],
        "orpheus_tts": [(3, "KIND_CPU")],
        "snac_decoder": [(1, "KIND_CPU")],
        "snac_encoder": [(1, "KIND_CPU")],
    }


def test_the_checkpoint_list_says_what_profile_and_tokenizer_say(tmp_path: Path) -> None:
    out = tmp_path / "repository"
    render(profile("english", "other"), artefacts(tmp_path, "english", "other"), out)
    parameters = parse_config(out / "orpheus_tts" / "config.pbtxt").parameters
    first, second = load_checkpoints(parameters["checkpoints"].string_value)
    assert (first.name, first.model, second.model) == ("english", "orpheus_llm", "orpheus_llm_other")
    assert first.stop_token_ids == (END_OF_SPEECH_ID, END_OF_TURN_ID)
    assert (first.default_voice, first.max_model_len) == ("tara", 8192)
    assert parse_config(out / "orpheus_llm_other" / "config.pbtxt").name == "orpheus_llm_other"


def test_the_engine_gets_the_checkpoint_and_only_what_was_decided(tmp_path: Path) -> None:
    files = plan(profile(), artefacts(tmp_path))
    content = files["orpheus_llm/1/model.json"]
    assert isinstance(content, bytes)
    arguments = json.loads(content)
    assert arguments["model"] == str(tmp_path / "checkpoint")
    assert arguments["max_model_len"] == 8192
    assert None not in arguments.values()


def test_the_core_and_the_codec_are_in_the_repository(tmp_path: Path) -> None:
    out = tmp_path / "repository"
    render(profile(), artefacts(tmp_path), out)
    assert (out / "snac_decoder" / "1" / "model.onnx").read_bytes() == b"decoder.onnx"
    assert (out / "orpheus_tts" / "1" / "model.py").exists()
    assert (out / "orpheus_tts" / "1" / "orpheus_core" / "layout.py").exists()
    assert not list(out.rglob("__pycache__"))


def warmed(out: Path) -> dict[str, tuple[int, list[int], list[int]]]:
    """Batch and both inputs' dimensions of each warm-up request of the decoder."""
    requests = parse_config(out / "snac_decoder" / "config.pbtxt").model_warmup
    assert all(given.zero_data for request in requests for given in request.inputs.values())
    return {r.name: (r.batch_size, list(r.inputs["codes"].dims), list(r.inputs["valid"].dims)) for r in requests}


def test_every_window_of_the_profile_is_warmed_up(tmp_path: Path) -> None:
    made = artefacts(tmp_path)
    render(replace(profile(), codec=Codec(bucket_frames=(8, 24))), made, tmp_path / "cpu")
    assert warmed(tmp_path / "cpu") == {
        "8 frames, batch of 1": (1, [8, 7], [2]),
        "24 frames, batch of 1": (1, [24, 7], [2]),
    }
    render(replace(profile(), device="gpu", codec=Codec(bucket_frames=(24,))), made, tmp_path / "gpu")
    assert warmed(tmp_path / "gpu") == {
        "24 frames, batch of 1": (1, [24, 7], [2]),
        "24 frames, batch of 8": (8, [24, 7], [2]),
    }


def test_a_plan_takes_the_decoder_s_place(tmp_path: Path) -> None:
    made, out = artefacts(tmp_path), tmp_path / "repository"
    (tmp_path / "model.plan").write_bytes(b"plan")
    render(profile(), replace(made, plan=tmp_path / "model.plan"), out)
    config = parse_config(out / "snac_decoder" / "config.pbtxt")
    assert (config.backend, config.default_model_filename, config.max_batch_size) == ("tensorrt", "model.plan", 8)
    assert [path.name for path in (out / "snac_decoder" / "1").iterdir()] == ["model.plan"]
    assert parse_config(out / "snac_encoder" / "config.pbtxt").backend == "onnxruntime"


def test_flags_and_parameters_agree_on_the_thread_pool(tmp_path: Path) -> None:
    out = tmp_path / "repository"
    given = profile(streams=Streams(max_streams=100))
    render(given, artefacts(tmp_path), out)
    assert "--backend-config=python,thread-pool-size=218" in flags(given).portable()
    assert (out / FLAGS_FILE).read_text().splitlines() == flags(given).portable()
    parameters = parse_config(out / "orpheus_tts" / "config.pbtxt").parameters
    assert parameters["thread_pool_size"].string_value == "218"
    assert parameters["max_streams"].string_value == "100"


@pytest.mark.parametrize("name", available())
def test_every_shipped_profile_can_be_rendered(name: str, tmp_path: Path) -> None:
    shipped = load(name).profile
    made = artefacts(tmp_path, *(choice.name for choice in shipped.checkpoints))
    render(shipped, made, tmp_path / "repository")


def test_a_repository_that_is_right_already_stays_and_another_is_replaced_whole(tmp_path: Path) -> None:
    out, made = tmp_path / "repository", artefacts(tmp_path)
    render(profile(), made, out)
    before = out.stat().st_ino
    render(profile(), made, out)
    assert out.stat().st_ino == before
    (out / "orpheus_llm_gone").mkdir()
    render(profile(max_text_chars=300), made, out)
    assert sorted(path.name for path in out.iterdir()) == [
        "orpheus_llm", "orpheus_tts", DIGEST_FILE, "snac_decoder", "snac_encoder", FLAGS_FILE,
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint", "decoder.onnx", "encoder.onnx", "repository",
    ]  # fmt: skip


def test_a_failed_render_leaves_what_was_there(tmp_path: Path) -> None:
    out, made = tmp_path / "repository", artefacts(tmp_path)
    render(profile(), made, out)
    digest = (out / DIGEST_FILE).read_text()
    made.encoder.unlink()
    with pytest.raises(OSError, match=r"encoder\.onnx"):
        render(profile(max_text_chars=300), made, out)
    assert (out / DIGEST_FILE).read_text() == digest


def test_the_checkout_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="lies in the checkout"):
        render(profile(), artefacts(tmp_path), CHECKOUT / "model_repository" / "rendered")


def test_a_folder_with_other_things_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to_mother.txt").touch()
    with pytest.raises(LaunchError, match="holds something else"):
        render(profile(), artefacts(tmp_path), tmp_path / "letters")
    assert (tmp_path / "letters" / "to_mother.txt").exists()


def test_a_default_voice_that_nobody_speaks_with_is_refused(tmp_path: Path) -> None:
    choice = replace(profile().checkpoints[0], default_voice="julia")
    with pytest.raises(LaunchError, match=r"default_voice: 'julia': give one of its voices, such as tara, leah"):
        plan(replace(profile(), checkpoints=(choice,)), artefacts(tmp_path))


def test_texts_that_cannot_fit_are_refused_with_the_number_that_would_do(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"max_text_chars = 4000 .* may need \d+ tokens, max_model_len is 8192"):
        plan(profile(max_text_chars=4000), artefacts(tmp_path))


def test_a_checkpoint_without_orpheus_tokens_is_refused(tmp_path: Path) -> None:
    made = artefacts(tmp_path)
    checkpoint_folder(tmp_path, tokens={"<|eot_id|>": 9})
    with pytest.raises(LaunchError, match=r"knows no <custom_token_2>: this is not an Orpheus checkpoint"):
        plan(profile(), made)
    (tmp_path / "checkpoint" / "tokenizer.json").write_text("{")
    with pytest.raises(LaunchError, match="no tokenizer that can be read"):
        plan(profile(), made)
