"""Profiles: what differs from machine to machine, in `scripts/profiles/*.toml`."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, Literal

from launcher.errors import LaunchError
from launcher.paths import PROFILES
from launcher.tables import read_table
from launcher.triton_flags import threads_for
from orpheus_core.checkpoint import Budget, Decoder, LoopRule, Sampling
from orpheus_core.layout import DECODER_BUCKET_FRAMES, SNAC_RECEPTIVE_FIELD_SAMPLES
from orpheus_core.window import context_frames

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Arguments of vLLM's engine, under its own names; what is left out, vLLM decides."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "bfloat16"
    max_model_len: int = 8192
    """Tokens of prompt, reference and speech together."""
    max_num_seqs: int = 64
    """Streams that the engine works on at once; the exact cap of one Triton."""
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    """Share of the card's memory for weights, activations and KV cache; the codec must fit in the rest."""
    kv_cache_memory_bytes: int | None = None
    """KV cache of this size instead of a share."""
    quantization: str | None = None
    """`fp8` on cards that have it."""
    kv_cache_dtype: str | None = None
    enforce_eager: bool | None = None
    enable_prefix_caching: bool | None = None

    def arguments(self) -> dict[str, str | int | float | bool]:
        """The ones that were decided on."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointChoice:
    """One language model to serve."""

    name: str
    source: str
    """`tiny` (built here), a folder (relative ones from the checkout), or a hub id `owner/name`."""
    revision: str | None = None
    """Commit or tag, for a hub id."""
    build_options: tuple[str, ...] = ()
    """Further arguments of the builder, for `tiny`."""
    languages: tuple[str, ...] = ("en",)
    """Primary BCP-47 subtags; the first is the default."""
    voices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Voice names by language; a language left out has the released checkpoint's."""
    default_voice: str | None = None
    """The first voice of the first language, if left out."""
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Emotion tags by language; a language left out has the released checkpoint's."""
    foreign_tags: Literal["refuse", "ignore"] = "refuse"
    """What happens to a tag of another released checkpoint that this one does not render."""
    sampling: Sampling = field(default_factory=Sampling)
    budget: Budget = field(default_factory=Budget)
    loop: LoopRule = field(default_factory=LoopRule)
    can_clone: bool = False
    max_text_chars: int = 400
    normaliser: Literal["none", "english"] = "none"
    response_tokens: int = 7
    """Tokens to a response of the local vLLM backend; NVIDIA's own answers each engine step."""
    engine: Engine = field(default_factory=Engine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """The decoder and encoder of audio codes."""

    source: str = "random"
    """`random` (SNAC's architecture, seeded weights), a folder of SNAC weights or of ready `decoder.onnx` and
    `encoder.onnx`, or a hub id."""
    revision: str | None = None
    """Commit or tag, for a hub id."""
    plan: str | None = None
    """A folder that scripts/build_trt made, for Triton's TensorRT backend, which NVIDIA's containers have."""
    seed: int = 0
    receptive_field_samples: int = SNAC_RECEPTIVE_FIELD_SAMPLES
    bucket_frames: tuple[int, ...] = DECODER_BUCKET_FRAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Caps and deadlines of `orpheus_tts`."""

    max_streams: int = 64
    """Live streams of one BLS instance; with n instances 1.25 times the rated streams, divided by n."""
    bls_instances: int = 1
    thread_pool_size: int | None = None
    """Threads for nested calls; twice `max_streams` and 18 if left out, and never fewer."""
    first_token_timeout_s: float = 10.0
    token_gap_timeout_s: float = 5.0
    decode_timeout_s: float = 15.0
    """One call of the decoder, waiting for its turn included."""
    total_timeout_s: float = 120.0
    start_lead_frames: int = 1
    """Frames held back before the first chunk when tokens come slowly."""
    crowded_lead_frames: int = 4
    """The same when they come hardly faster than they are played and many streams are live
    (`orpheus_core.schedule.lead_in_crowd`)."""

    @property
    def rated(self) -> int:
        """Live streams of all instances together; several, which are not filled evenly, admit a quarter more."""
        return self.max_streams if self.bls_instances == 1 else int(self.max_streams * self.bls_instances / 1.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything that a machine needs to be told."""

    description: str
    device: Device = "cpu"
    card_memory_gb: float | None = None
    """Of the card that the profile is for, as cards are labelled (units of 2^30 bytes); nvidia-smi beats it."""
    warmup: bool = True
    """Whether a sentence is spoken before the server is reported ready."""
    ready_timeout_s: float = 300.0
    streams: Streams = field(default_factory=Streams)
    codec: Codec = field(default_factory=Codec)
    checkpoints: tuple[CheckpointChoice, ...]


@dataclass(frozen=True, slots=True)
class LoadedProfile:
    """A profile with its name and with what its file says, as opposed to what is default."""

    name: str
    profile: Profile
    table: Mapping[str, Any]


def available() -> list[str]:
    """Names of the profiles in the checkout."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def load(name: str) -> LoadedProfile:
    """A profile by name, or by the path of a TOML file.

    Raises:
        LaunchError: there is none of that name, it is not TOML, or it says something that cannot be.
    """
    path = Path(name) if name.endswith(".toml") else PROFILES / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LaunchError(f"profile {name!r}: no such profile; there are {', '.join(available())}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LaunchError(f"{path}: not TOML ({error})") from None
    return LoadedProfile(path.stem, parse(table, where=f"{path.name}: "), table)


def parse(table: Mapping[str, Any], *, where: str = "") -> Profile:
    """A profile from its TOML table.

    Raises:
        LaunchError: as `load`.
    """
    profile = read_table(Profile, table, where)
    check(profile, where=where)
    return profile


def check(profile: Profile, *, where: str = "") -> None:
    """
    Raises:
        LaunchError: a value that cannot be served.
    """
    names = [checkpoint.name for checkpoint in profile.checkpoints]
    if not names or len(set(names)) != len(names):
        raise LaunchError(f"{where}checkpoints: {names}: give at least one, each with a name of its own")
    for checkpoint in profile.checkpoints:
        _check_checkpoint(checkpoint, f"{where}checkpoints.{checkpoint.name}")
    _check_codec(profile.codec, f"{where}codec")
    _check_streams(profile.streams, f"{where}streams")
    if profile.card_memory_gb is not None:
        _require(0 < profile.card_memory_gb < inf, f"{where}card_memory_gb", profile.card_memory_gb, ABOVE_ZERO)
    _require(0 < profile.ready_timeout_s < inf, f"{where}ready_timeout_s", profile.ready_timeout_s, ABOVE_ZERO)


ABOVE_ZERO = "must be above 0"
NOT_BELOW_ZERO = "must not be below 0"


def _require(holds: bool, field: str, value: object, rule: str) -> None:
    if not holds:
        raise LaunchError(f"{field}: {value}: {rule}")


def _check_checkpoint(choice: CheckpointChoice, field: str) -> None:
    name = choice.name
    if not name.replace("_", "").replace("-", "").isalnum() or not name.isascii():
        raise LaunchError(f"{field}: {name!r}: a name is letters, digits, '-' and '_'")
    _require(len(choice.languages) > 0, f"{field}.languages", "[]", "give at least one")
    _require(choice.max_text_chars >= 1, f"{field}.max_text_chars", choice.max_text_chars, ABOVE_ZERO)
    _require(choice.response_tokens >= 1, f"{field}.response_tokens", choice.response_tokens, ABOVE_ZERO)
    for key, value in asdict(choice.loop).items():
        _require(value >= 1, f"{field}.loop.{key}", value, ABOVE_ZERO)
    for key, value in asdict(choice.budget).items():
        _require(0 <= value < inf, f"{field}.budget.{key}", value, NOT_BELOW_ZERO)


def _check_codec(codec: Codec, field: str) -> None:
    buckets = codec.bucket_frames
    _require(codec.receptive_field_samples >= 0, f"{field}.receptive_field_samples", codec.receptive_field_samples,
             NOT_BELOW_ZERO)  # fmt: skip
    context = context_frames(
        Decoder(receptive_field_samples=codec.receptive_field_samples, bucket_frames=buckets or (1,))
    )
    ascending = all(left < right for left, right in pairwise((0, *buckets)))
    _require(
        bool(buckets) and ascending and buckets[-1] > context, f"{field}.bucket_frames", list(buckets),
        f"give ascending lengths, the last above the {context} frames that are decoded again with every window",
    )  # fmt: skip


def _check_streams(streams: Streams, field: str) -> None:
    for key, value in asdict(streams).items():
        if key.endswith("_lead_frames"):
            _require(value >= 0, f"{field}.{key}", value, NOT_BELOW_ZERO)
        elif value is not None:
            _require(0 < value < inf, f"{field}.{key}", value, ABOVE_ZERO)
    needed = threads_for(streams.max_streams)
    if streams.thread_pool_size is not None and streams.thread_pool_size < needed:
        raise LaunchError(
            f"{field}.thread_pool_size: {streams.thread_pool_size} threads cannot serve {streams.max_streams} "
            f"streams, which need {needed} (twice the streams and 18): leave it out, or lower max_streams"
        )
