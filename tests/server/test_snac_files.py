"""What the exporter leaves in its folder, and the Triton configurations that serve it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from orpheus_core.layout import DECODER_BUCKET_FRAMES, SNAC_RECEPTIVE_FIELD_SAMPLES, TOKENS_PER_FRAME
from snac_export import export as export_module
from snac_export.errors import ExportError
from snac_export.export import DECODER_FILE, ENCODER_FILE, FACTS_FILE, export
from snac_export.weights import Codec

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

MODELS = Path(__file__).parents[2] / "model_repository"

TYPES = {
    "tensor(int64)": model_config_pb2.TYPE_INT64,
    "tensor(int32)": model_config_pb2.TYPE_INT32,
    "tensor(float)": model_config_pb2.TYPE_FP32,
}


def config_of(model: str) -> Any:
    text = (MODELS / model / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def tensors(entries: Any) -> dict[str, tuple[int, list[int]]]:
    return {entry.name: (entry.data_type, list(entry.dims)) for entry in entries}


def tensors_in_file(nodes: Any, *, batch_dims: int) -> dict[str, tuple[int, list[int]]]:
    return {
        node.name: (TYPES[node.type], [d if isinstance(d, int) else -1 for d in node.shape[batch_dims:]])
        for node in nodes
    }


@pytest.mark.parametrize("model", ["snac_decoder", "snac_encoder"])
def test_configuration_and_file_agree(decoder: Any, encoder: Any, model: str) -> None:
    config = config_of(model)
    session = decoder if model == "snac_decoder" else encoder
    batch_dims = int(config.max_batch_size > 0)
    assert config.name == model
    assert config.backend == "onnxruntime"
    assert [(g.count, g.kind) for g in config.instance_group] == [(1, model_config_pb2.ModelInstanceGroup.KIND_CPU)]
    assert tensors(config.input) == tensors_in_file(session.get_inputs(), batch_dims=batch_dims)
    assert tensors(config.output) == tensors_in_file(session.get_outputs(), batch_dims=batch_dims)


def test_every_bucket_is_warmed_up_with_zeroes() -> None:
    config = config_of("snac_decoder")
    warmed = [sample.inputs["codes"] for sample in config.model_warmup]
    assert [list(codes.dims) for codes in warmed] == [[bucket, TOKENS_PER_FRAME] for bucket in DECODER_BUCKET_FRAMES]
    assert all(entry.zero_data for sample in config.model_warmup for entry in sample.inputs.values())
    assert [sample.batch_size for sample in config.model_warmup] == [1] * len(DECODER_BUCKET_FRAMES)


def test_the_decoder_waits_in_a_bounded_queue() -> None:
    batching = config_of("snac_decoder").dynamic_batching
    assert 0 < batching.default_queue_policy.max_queue_size <= 1024
    assert 0 < batching.max_queue_delay_microseconds <= 5000


def test_the_facts_beside_the_files(codec: Codec, codec_folder: Path) -> None:
    facts = json.loads((codec_folder / FACTS_FILE).read_text(encoding="utf-8"))
    assert facts["weights"] == "random, seed 0"
    assert facts["weights_sha256"] == codec.sha256
    assert facts["receptive_field_samples"] == SNAC_RECEPTIVE_FIELD_SAMPLES
    for name in (DECODER_FILE, ENCODER_FILE):
        assert facts["files_sha256"][name] == hashlib.sha256((codec_folder / name).read_bytes()).hexdigest()
    assert {path.name for path in codec_folder.iterdir()} == {DECODER_FILE, ENCODER_FILE, FACTS_FILE}


@pytest.mark.parametrize("name", [DECODER_FILE, ENCODER_FILE])
def test_a_file_says_nothing_of_the_machine_it_was_made_on(codec_folder: Path, name: str) -> None:
    data = (codec_folder / name).read_bytes()
    assert str(Path(export_module.__file__).parent).encode() not in data
    assert b"site-packages" not in data
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model)
    assert not {node.op_type for node in model.graph.node} & {"RandomNormal", "RandomNormalLike", "Loop", "If"}


def test_a_graph_that_is_wrong_is_not_left_behind(
    codec: Codec, codec_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = onnx.load(codec_folder / DECODER_FILE)
    bias = next(i for i in half.graph.initializer if list(i.dims) == [1] and i.data_type == onnx.TensorProto.FLOAT)
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + 0.5, bias.name))
    monkeypatch.setattr(export_module, "write_decoder", lambda _model, path: onnx.save(half, path))
    with pytest.raises(ExportError, match=r"decoder\.onnx differs from PyTorch by"):
        export(codec, tmp_path, lengths_frames=(1,))
    assert not list(tmp_path.iterdir())
