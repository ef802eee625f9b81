"""Writes a complete model repository from the sources in the checkout, a profile, and the models it names."""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from launcher.artefacts import Artefacts
from launcher.checkpoints import LEXICON_FILE, LLM_MODEL, checkpoint_list
from launcher.errors import LaunchError
from launcher.paths import CHECKOUT, MODEL_SOURCES, make_folder
from launcher.profile import Profile, Streams
from launcher.triton_flags import TritonFlags, threads_for
from launcher.trt_plan import PLAN_FILE
from orpheus_core.checkpoint import PARAMETER, dump_checkpoints

Content = bytes | Path
"""A file's bytes, or a file to link to."""

TTS_MODEL = "orpheus_tts"
DECODER, ENCODER = "snac_decoder", "snac_encoder"
FLAGS_FILE = "triton_flags.txt"
DIGEST_FILE = "rendered.sha256"
"""Marks a folder as ours to replace. Triton looks at folders only, these two files do not disturb it."""


def render(profile: Profile, artefacts: Artefacts, out: Path) -> TritonFlags:
    """Writes the repository to `out`, whole or not at all; returns the flags to start Triton with.

    Raises:
        LaunchError: `out` is in the checkout or not ours to replace, or the profile cannot be served.
    """
    target = out.resolve()
    if target == CHECKOUT or CHECKOUT in target.parents:
        raise LaunchError(f"{out}: lies in the checkout, which is only read: choose a folder outside {CHECKOUT}")
    write(plan(profile, artefacts), target)
    return flags(profile)


def flags(profile: Profile) -> TritonFlags:
    """The flags that belong to the profile."""
    return TritonFlags(thread_pool_size=_thread_pool_size(profile.streams))


def plan(profile: Profile, artefacts: Artefacts, sources: Path = MODEL_SOURCES) -> dict[str, Content]:
    """Every file of the repository by its relative path.

    Raises:
        LaunchError: the profile cannot be served.
    """
    checkpoints = checkpoint_list(profile, artefacts)
    codec_kind = "KIND_GPU" if profile.device == "gpu" else "KIND_CPU"
    files: dict[str, Content] = {FLAGS_FILE: "".join(f"{flag}\n" for flag in flags(profile).portable()).encode()}
    for choice, checkpoint in zip(profile.checkpoints, checkpoints, strict=True):
        parameters = {"RESPONSE_TOKENS": str(choice.response_tokens), "REPORT_CUSTOM_METRICS": "true"}
        files[f"{checkpoint.model}/config.pbtxt"] = _config(
            sources / LLM_MODEL, name=checkpoint.model, kind="KIND_MODEL", parameters=parameters
        )
        arguments = {"model": str(artefacts.checkpoints[choice.name]), **choice.engine.arguments()}
        files[f"{checkpoint.model}/1/model.json"] = _model_json(sources / LLM_MODEL, arguments)
        if checkpoint.lexicon:
            files[f"{TTS_MODEL}/1/{checkpoint.lexicon}"] = artefacts.checkpoints[choice.name] / LEXICON_FILE
    files |= _decoder(sources / DECODER, profile, artefacts, codec_kind)
    files[f"{ENCODER}/config.pbtxt"] = _config(sources / ENCODER, name=ENCODER, kind=codec_kind)
    files[f"{ENCODER}/1/model.onnx"] = artefacts.encoder
    files[f"{TTS_MODEL}/config.pbtxt"] = _config(
        sources / TTS_MODEL, name=TTS_MODEL, kind="KIND_CPU", count=profile.streams.bls_instances,
        parameters={**_stream_parameters(profile.streams), PARAMETER: dump_checkpoints(checkpoints)},
    )  # fmt: skip
    return files | _version_folder(sources / TTS_MODEL)


def write(files: Mapping[str, Content], target: Path) -> None:
    """Puts the files there at once; a folder that holds the same already stays as it is.

    Raises:
        LaunchError: the folder holds something else than a rendered repository, or cannot be written.
    """
    digest = _digest(files)
    with contextlib.suppress(OSError):
        if (target / DIGEST_FILE).read_text(encoding="ascii").strip() == digest:
            return
    if target.exists() and any(target.iterdir()) and not (target / DIGEST_FILE).exists():
        raise LaunchError(f"{target}: holds something else than a rendered repository: choose another folder")
    make_folder(target.parent)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        for name, content in files.items():
            _put(draft / name, content)
        (draft / DIGEST_FILE).write_text(digest + "\n", encoding="ascii")
        _swap(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def parse_config(path: Path) -> model_config_pb2.ModelConfig:
    """A model's configuration.

    Raises:
        LaunchError: it is not there, or not of Triton's format.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except FileNotFoundError:
        raise LaunchError(f"{path}: is missing") from None
    except text_format.ParseError as error:
        raise LaunchError(f"{path}: {error}") from None


def _config(
    source: Path, *, name: str, kind: str, count: int = 1, parameters: Mapping[str, str] | None = None
) -> bytes:
    config = parse_config(source / "config.pbtxt")
    config.name = name
    # Triton's own default is a guess by backend and device (two for ONNX Runtime on a CPU), so it is always written.
    del config.instance_group[:]
    config.instance_group.add(count=count, kind=model_config_pb2.ModelInstanceGroup.Kind.Value(kind))
    for key, value in (parameters or {}).items():
        config.parameters[key].string_value = value
    return text_format.MessageToString(config).encode()


def _decoder(source: Path, profile: Profile, artefacts: Artefacts, kind: str) -> dict[str, Content]:
    config = text_format.Parse(_config(source, name=DECODER, kind=kind), model_config_pb2.ModelConfig())
    del config.model_warmup[:]
    # On a card the largest batch too: its kernels are chosen, and its memory is taken, at the first request of a shape.
    batches = (1, config.max_batch_size) if kind == "KIND_GPU" else (1,)
    for frames in profile.codec.bucket_frames:
        for batch in batches:
            _add_warmup(config, frames=frames, batch=batch)
    name, content = "model.onnx", artefacts.decoder
    if artefacts.plan:
        name, content = PLAN_FILE, artefacts.plan
        config.backend = "tensorrt"
        config.default_model_filename = PLAN_FILE
    return {f"{DECODER}/config.pbtxt": text_format.MessageToString(config).encode(), f"{DECODER}/1/{name}": content}


def _add_warmup(config: model_config_pb2.ModelConfig, *, frames: int, batch: int) -> None:
    """A request of zeroes, which are valid codes, before the model is ready."""
    warmup = config.model_warmup.add(name=f"{frames} frames, batch of {batch}", batch_size=batch)
    for given in config.input:
        dims = [frames if size == -1 else size for size in given.dims]
        warmup.inputs[given.name].CopyFrom(
            model_config_pb2.ModelWarmup.Input(data_type=given.data_type, dims=dims, zero_data=True)
        )


def _model_json(source: Path, arguments: Mapping[str, str | int | float | bool]) -> bytes:
    base = json.loads((source / "1" / "model.json").read_text(encoding="utf-8"))
    return (json.dumps({**base, **arguments}, indent=2) + "\n").encode()


def _stream_parameters(streams: Streams) -> dict[str, str]:
    return {
        "max_streams": str(streams.max_streams),
        "thread_pool_size": str(_thread_pool_size(streams)),
        "first_token_timeout_s": str(streams.first_token_timeout_s),
        "token_gap_timeout_s": str(streams.token_gap_timeout_s),
        "decode_timeout_s": str(streams.decode_timeout_s),
        "total_timeout_s": str(streams.total_timeout_s),
        "start_lead_frames": str(streams.start_lead_frames),
        "crowded_lead_frames": str(streams.crowded_lead_frames),
    }


def _thread_pool_size(streams: Streams) -> int:
    return streams.thread_pool_size or threads_for(streams.max_streams)


def _version_folder(source: Path) -> dict[str, Content]:
    """The Python files of a model, as bytes: a repository must not change when the checkout does."""
    files = sorted((source / "1").rglob("*.py"))
    return {f"{source.name}/{path.relative_to(source)}": path.read_bytes() for path in files}


def _digest(files: Mapping[str, Content]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0".encode())
        digest.update(content if isinstance(content, bytes) else _identity(content))
    return digest.hexdigest()


def _identity(path: Path) -> bytes:
    state = path.stat()
    return f"{path} {state.st_size} {state.st_mtime_ns}".encode()


def _put(path: Path, content: Content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    try:
        os.link(content, path)
    except OSError:
        shutil.copyfile(content, path)


def _swap(draft: Path, target: Path) -> None:
    """`draft` becomes `target`; what was there goes."""
    aside = draft.with_name(f"{draft.name}.old")
    if target.exists():
        target.rename(aside)
    draft.rename(target)
    shutil.rmtree(aside, ignore_errors=True)
