"""Models that are built once for all server tests."""

import importlib.util
import sys
import warnings
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch

if (compiler := importlib.util.find_spec("triton")) and compiler.origin is None:
    # The CPU's environment has no compiler of that name, and torch would take the folder of tests for it.
    sys.modules["triton"] = None  # type: ignore[assignment]

with warnings.catch_warnings():
    # snac compiles a function while it is imported, in a way that torch calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from snac import SNAC

    from snac_export.architecture import CONFIG, settle
    from snac_export.export import DECODER_FILE, ENCODER_FILE, export
    from snac_export.random_weights import randomise
    from snac_export.weights import RANDOM, Codec, load


@pytest.fixture(scope="session")
def one_thread() -> None:
    """Two threads that wait for each other on cores that others keep busy take four times as long as one alone."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def codec(one_thread: None) -> Codec:
    """SNAC in full size with random weights."""
    return load(RANDOM, seed=0)


@pytest.fixture(scope="session")
def codec_folder(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`codec`, exported."""
    folder = tmp_path_factory.mktemp("snac")
    export(codec, folder, lengths_frames=(1,))
    return folder


@pytest.fixture(scope="session")
def decoder(codec_folder: Path) -> onnxruntime.InferenceSession:
    return _session(codec_folder / DECODER_FILE)


@pytest.fixture(scope="session")
def encoder(codec_folder: Path) -> onnxruntime.InferenceSession:
    return _session(codec_folder / ENCODER_FILE)


@pytest.fixture(scope="session")
def slim_model(one_thread: None) -> Any:
    """SNAC with few channels: the same layers, reach and edges at a hundredth of the work."""
    model = settle(SNAC(**{**CONFIG, "encoder_dim": 4, "decoder_dim": 64}).eval())
    randomise(model, 1)
    return model


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
