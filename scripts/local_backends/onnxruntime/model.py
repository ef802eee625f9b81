"""The Triton backend `onnxruntime` in Python, for a Triton that lacks the native one.

Serves the same `config.pbtxt` and model file with the same results. Inputs and outputs are the file's, by name; with
`max_batch_size` above zero their first dimension is the batch, and what Triton's dynamic batcher hands over at once is
one run. `instance_group` chooses the device: `KIND_CPU`, or `KIND_GPU` with CUDA.

| parameter                | meaning                                                  | default               |
|--------------------------|----------------------------------------------------------|-----------------------|
| `intra_op_thread_count`  | threads that share an operator, as in the native backend | the cores, at most 4  |
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import triton_python_backend_utils as pb_utils

Tensors = dict[str, npt.NDArray[Any]]

DEFAULT_FILE = "model.onnx"
MAX_DEFAULT_THREADS = 4

TRITON_TYPES: Mapping[str, str] = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(double)": "TYPE_FP64",
    "tensor(float)": "TYPE_FP32",
    "tensor(float16)": "TYPE_FP16",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(uint8)": "TYPE_UINT8",
}
"""Numbers only: strings take another way through numpy, and no model here has any."""


class TritonPythonModel:
    """One instance of one model."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Inputs and outputs that the configuration leaves out are taken from the file."""
        table = config.as_dict()
        if table["input"] and table["output"]:
            return config
        session = _open(Path(pb_utils.get_model_dir()) / _file_name(table), table, kind="CPU", device=0)
        batch_dims = int(table["max_batch_size"] > 0)
        for nodes, add in ((session.get_inputs(), config.add_input), (session.get_outputs(), config.add_output)):
            for node in nodes:
                dims = [size if isinstance(size, int) else -1 for size in node.shape[batch_dims:]]
                add({"name": node.name, "data_type": _triton_type(node), "dims": dims})
        return config

    def initialize(self, args: Mapping[str, str]) -> None:
        """
        Raises:
            TritonModelException: the file cannot be loaded, or is not what the configuration says.
        """
        config = json.loads(args["model_config"])
        path = Path(args["model_repository"]) / args["model_version"] / _file_name(config)
        kind, device = args["model_instance_kind"], int(args["model_instance_device_id"])
        self._session = _open(path, config, kind=kind, device=device)
        _compare(config["name"], "input", config["input"], self._session.get_inputs())
        _compare(config["name"], "output", config["output"], self._session.get_outputs())
        self._inputs = [node.name for node in self._session.get_inputs()]
        self._outputs = [entry["name"] for entry in config["output"]]
        self._batches = config["max_batch_size"] > 0

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each request, in their order; a request that fails fails alone."""
        if not self._batches:
            return [self._answer_unless_cancelled(request) for request in requests]
        if len(requests) == 1:
            return [self._answer(requests[0])]
        feeds = [self._feed(request) for request in requests]
        try:
            return [_response(outputs) for outputs in self._run_together(feeds)]
        except Exception:  # whatever it was, it belongs to one of them, which meets it again
            return [self._answer(request) for request in requests]

    def _answer_unless_cancelled(self, request: Any) -> Any:
        # The dynamic batcher drops cancelled requests itself; without it they wait where Triton does not look.
        if request.is_cancelled():
            return _failure("cancelled before it was run", pb_utils.TritonError.CANCELLED)
        return self._answer(request)

    def _answer(self, request: Any) -> Any:
        try:
            return _response(self._run(self._feed(request)))
        except Exception as error:  # becomes this request's answer
            return _failure(str(error), pb_utils.TritonError.INTERNAL)

    def _feed(self, request: Any) -> Tensors:
        return {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}

    def _run(self, feed: Tensors) -> Tensors:
        return dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))

    def _run_together(self, feeds: Sequence[Tensors]) -> list[Tensors]:
        together = self._run({name: np.concatenate([feed[name] for feed in feeds]) for name in self._inputs})
        ends = np.cumsum([len(feed[self._inputs[0]]) for feed in feeds])
        parts = {name: np.split(output, ends[:-1]) for name, output in together.items()}
        return [{name: parts[name][index] for name in self._outputs} for index in range(len(feeds))]


def _open(path: Path, config: Mapping[str, Any], *, kind: str, device: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _thread_count(config)
    # A waiting thread would otherwise spin on a core that the language model needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=[_provider(config["name"], kind, device)])
    except Exception as error:
        raise pb_utils.TritonModelException(f"{config['name']}: {path} cannot be loaded: {error}") from error


def _provider(name: str, kind: str, device: int) -> tuple[str, dict[str, str]]:
    if kind != "GPU":
        return "CPUExecutionProvider", {}
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise pb_utils.TritonModelException(
            f"{name}: instance_group is KIND_GPU, but this ONNX Runtime knows no CUDA: install onnxruntime-gpu, or "
            "set KIND_CPU"
        )
    # TF32 drops digits that the joins of overlapping windows need; an exhaustive search costs seconds for each shape.
    return "CUDAExecutionProvider", {
        "device_id": str(device), "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC",
    }  # fmt: skip


def _thread_count(config: Mapping[str, Any]) -> int:
    given = config["parameters"].get("intra_op_thread_count", {}).get("string_value", "0")
    if not given.isdecimal():
        raise pb_utils.TritonModelException(
            f"{config['name']}: intra_op_thread_count is {given!r}: give a whole number, 0 for the default"
        )
    return int(given) or min(len(os.sched_getaffinity(0)), MAX_DEFAULT_THREADS)


def _compare(model: str, what: str, configured: Sequence[Mapping[str, Any]], nodes: Sequence[Any]) -> None:
    """Raises TritonModelException unless names and types agree; an output may be left out."""
    in_file = {node.name: _triton_type(node) for node in nodes}
    in_config = {entry["name"]: entry["data_type"] for entry in configured}
    missing = in_file.keys() - in_config.keys() if what == "input" else set()
    if missing or any(in_file.get(name) != data_type for name, data_type in in_config.items()):
        raise pb_utils.TritonModelException(f"{model}: config.pbtxt has {what} {in_config}, the file has {in_file}")


def _triton_type(node: Any) -> str:
    return TRITON_TYPES.get(node.type, node.type)


def _file_name(config: Mapping[str, Any]) -> str:
    return config.get("default_model_filename") or DEFAULT_FILE


def _response(outputs: Tensors) -> Any:
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])


def _failure(message: str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
