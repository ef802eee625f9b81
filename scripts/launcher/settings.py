"""The environment variables that beat the profile, and where every value came from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from launcher.errors import LaunchError
from launcher.profile import CheckpointChoice, Engine, LoadedProfile, Profile, check

T = TypeVar("T")

RELEASED_BY_VARIANT = {
    "finetuned": "canopylabs/orpheus-3b-0.1-ft",
    "pretrained": "canopylabs/orpheus-3b-0.1-pretrained",
}
"""The finetuned English checkpoint has the preset voices and cannot clone; the pretrained one clones."""

TRUE_WORDS = ("1", "true", "yes", "on")
FALSE_WORDS = ("0", "false", "no", "off")

SECRET_SHOWN = "(set)"


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the start's report."""

    name: str
    value: str
    origin: str
    """`environment`, `profile NAME` or `default`."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The profile with the environment applied, and the report."""

    profile: Profile
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """An environment variable that stands for a value of the profile. Those of a checkpoint mean the first one."""

    name: str
    key: tuple[str, ...]
    """Where the value stands in the profile's file; under the first checkpoint, after `checkpoints`."""
    parse: Callable[[str], Any]
    """Raises ValueError, with the words that are valid."""
    apply: Callable[[Profile, Any], Profile]
    show: Callable[[Profile], object]


def settle(loaded: LoadedProfile, environ: Mapping[str, str]) -> Settled:
    """Applies the environment: it beats the profile, which beats the default.

    Raises:
        LaunchError: a variable with a value that cannot be; names it, the value and the valid ones.
    """
    profile = loaded.profile
    for variable in VARIABLES:
        if text := environ.get(variable.name):
            profile = variable.apply(profile, _parsed(variable, text))
    check(profile, where="with the environment applied: ")
    lines = [Setting(v.name, str(v.show(profile)), _origin(v, loaded, environ)) for v in VARIABLES]
    return Settled(profile, (*lines, _passed_on("HF_HOME", environ), _secret("HF_TOKEN", environ)))


def _parsed(variable: Variable, text: str) -> Any:
    try:
        return variable.parse(text.strip())
    except ValueError as error:
        raise LaunchError(f"{variable.name}: {text!r}: {error}") from None


def _origin(variable: Variable, loaded: LoadedProfile, environ: Mapping[str, str]) -> str:
    if environ.get(variable.name):
        return "environment"
    table: Any = loaded.table
    for part in variable.key:
        table = (table[0] if isinstance(table, list) else table).get(part)
        if table is None:
            return "default"
    return f"profile {loaded.name}"


def _passed_on(name: str, environ: Mapping[str, str]) -> Setting:
    return Setting(name, environ.get(name, "~/.cache/huggingface"), "environment" if name in environ else "default")


def _secret(name: str, environ: Mapping[str, str]) -> Setting:
    given = bool(environ.get(name))
    return Setting(name, SECRET_SHOWN if given else "(not set)", "environment" if given else "default")


def _first(profile: Profile) -> CheckpointChoice:
    return profile.checkpoints[0]


def _with_first(profile: Profile, **changes: Any) -> Profile:
    return replace(profile, checkpoints=(replace(_first(profile), **changes), *profile.checkpoints[1:]))


def _with_engine(name: str) -> Callable[[Profile, Any], Profile]:
    return lambda profile, value: _with_first(profile, engine=replace(_first(profile).engine, **{name: value}))


def _engine(profile: Profile) -> Engine:
    return _first(profile).engine


def _apply_variant(profile: Profile, variant: str) -> Profile:
    source, revision = _first(profile).source, _first(profile).revision
    if source in RELEASED_BY_VARIANT.values() and source != RELEASED_BY_VARIANT[variant]:
        source, revision = RELEASED_BY_VARIANT[variant], None
    return _with_first(profile, source=source, revision=revision, can_clone=variant == "pretrained", voices={})


def _variant(text: str) -> str:
    names = {"ft": "finetuned", **{name: name for name in RELEASED_BY_VARIANT}}
    return _one_of(text.lower(), names)


def _truth(text: str) -> bool:
    return _one_of(text.lower(), {**dict.fromkeys(TRUE_WORDS, True), **dict.fromkeys(FALSE_WORDS, False)})


def _quantization(text: str) -> str | None:
    return _one_of(text.lower(), {"none": None, "fp8": "fp8"})


def _one_of(text: str, meanings: Mapping[str, T]) -> T:
    if text not in meanings:
        raise ValueError(f"send one of {', '.join(meanings)}")
    return meanings[text]


def _share(text: str) -> float:
    value = _number(float, text)
    if not 0 < value <= 1:
        raise ValueError("send a share of the card's memory, above 0 and up to 1")
    return float(value)


def _tokens(text: str) -> int:
    value = _number(int, text)
    if value < 1:
        raise ValueError("send a number of tokens, such as 8192")
    return int(value)


def _number(kind: type[int] | type[float], text: str) -> float:
    try:
        return kind(text)
    except ValueError:
        raise ValueError("send a number") from None


VARIABLES = (
    # The variant before the model: naming a model means that one, of whichever variant.
    Variable(
        name="ORPHEUS_VARIANT",
        key=("checkpoints", "can_clone"),
        parse=_variant,
        apply=_apply_variant,
        show=lambda profile: "pretrained" if _first(profile).can_clone else "finetuned",
    ),
    Variable(
        name="ORPHEUS_MODEL",
        key=("checkpoints", "source"),
        parse=str,
        apply=lambda profile, value: _with_first(profile, source=value, revision=None),
        show=lambda profile: _first(profile).source,
    ),
    Variable(
        name="ORPHEUS_FOREIGN_TAGS",
        key=("checkpoints", "foreign_tags"),
        parse=lambda text: _one_of(text.lower(), {"refuse": "refuse", "ignore": "ignore"}),
        apply=lambda profile, value: _with_first(profile, foreign_tags=value),
        show=lambda profile: _first(profile).foreign_tags,
    ),
    Variable(
        name="VLLM_GPU_MEMORY_UTILIZATION",
        key=("checkpoints", "engine", "gpu_memory_utilization"),
        parse=_share,
        apply=_with_engine("gpu_memory_utilization"),
        show=lambda profile: _engine(profile).gpu_memory_utilization,
    ),
    Variable(
        name="VLLM_MAX_MODEL_LEN",
        key=("checkpoints", "engine", "max_model_len"),
        parse=_tokens,
        apply=_with_engine("max_model_len"),
        show=lambda profile: _engine(profile).max_model_len,
    ),
    Variable(
        name="VLLM_QUANTIZATION",
        key=("checkpoints", "engine", "quantization"),
        parse=_quantization,
        apply=_with_engine("quantization"),
        show=lambda profile: _engine(profile).quantization,
    ),
    Variable(
        name="WARMUP_ON_STARTUP",
        key=("warmup",),
        parse=_truth,
        apply=lambda profile, value: replace(profile, warmup=value),
        show=lambda profile: profile.warmup,
    ),
)
