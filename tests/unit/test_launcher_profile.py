"""Profiles: what they may say, and what beats what."""

import tomllib
from typing import Any

import pytest

from launcher.errors import LaunchError
from launcher.profile import LoadedProfile, available, load, parse
from launcher.settings import SECRET_SHOWN, Setting, settle

pytestmark = pytest.mark.unit

MINIMAL = """
description = "a test"
[[checkpoints]]
name = "one"
source = "tiny"
[checkpoints.engine]
max_model_len = 8192
"""


def loaded(text: str = MINIMAL) -> LoadedProfile:
    table = tomllib.loads(text)
    return LoadedProfile("test", parse(table), table)


def settings(environ: dict[str, str], text: str = MINIMAL) -> dict[str, Setting]:
    return {setting.name: setting for setting in settle(loaded(text), environ).settings}


@pytest.mark.parametrize("name", available())
def test_every_shipped_profile_can_be_read(name: str) -> None:
    assert load(name).profile.checkpoints


def test_unknown_profile_names_those_there_are() -> None:
    with pytest.raises(LaunchError, match=r"'gpu-9000gb': no such profile; there are .*cpu"):
        load("gpu-9000gb")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("descripton = 'x'", r"descripton: no such key; valid: description, device"),
        ("description = 'x'", r"checkpoints: is missing"),
        ("description = 1\ncheckpoints = []", r"description: 1 is not a text"),
        ("description = 'x'\ndevice = 'tpu'\ncheckpoints = []", r"device: 'tpu' is not one of 'cpu', 'gpu'"),
        ("description = 'x'\ncheckpoints = []", r"checkpoints: \[\]: give at least one"),
        (MINIMAL + "enforce_eager = 'yes'", r"checkpoints\[0\]\.engine\.enforce_eager: 'yes' is not true or false"),
        (MINIMAL + "max_modellen = 1", r"checkpoints\[0\]\.engine\.max_modellen: no such key; valid: .*max_model_len"),
        (MINIMAL + "[[checkpoints]]\nname = 'one'\nsource = 'tiny'", r"each with a name of its own"),
        (MINIMAL + "[[checkpoints]]\nname = '../x'\nsource = 'tiny'", r"'../x': a name is letters, digits"),
        (MINIMAL + "[streams]\nthread_pool_size = 32", r"32 threads cannot serve 64 streams, which need 146"),
        (MINIMAL + "[streams]\nmax_streams = 0", r"streams\.max_streams: 0: must be above 0"),
        (MINIMAL + "[streams]\nbls_instances = -1", r"streams\.bls_instances: -1: must be above 0"),
        (MINIMAL + "[streams]\nstart_lead_frames = -1", r"streams\.start_lead_frames: -1: must not be below 0"),
        (MINIMAL + "[streams]\ntotal_timeout_s = nan", r"streams\.total_timeout_s: nan: must be above 0"),
        (MINIMAL + "[streams]\nearly_first_chunk = true", r"streams\.early_first_chunk: no such key"),
        (MINIMAL + "[codec]\nbucket_frames = []", r"codec\.bucket_frames: \[\]: give ascending lengths"),
        (MINIMAL + "[codec]\nbucket_frames = [16, 8]", r"codec\.bucket_frames: \[16, 8\]: give ascending"),
        (MINIMAL + "[codec]\nbucket_frames = [4]", r"codec\.bucket_frames: \[4\]: .* above the 5 frames"),
        (MINIMAL + "[codec]\nreceptive_field_samples = -1", r"receptive_field_samples: -1: must not be below 0"),
        (MINIMAL.replace("source", "languages = []\nsource"), r"checkpoints\.one\.languages: \[\]: give at least one"),
        (MINIMAL.replace("source", "max_text_chars = 0\nsource"), r"max_text_chars: 0: must be above 0"),
        (MINIMAL.replace("source", "response_tokens = 0\nsource"), r"response_tokens: 0: must be above 0"),
        (MINIMAL.replace("source", "loop.min_repeats = 0\nsource"), r"loop\.min_repeats: 0: must be above 0"),
    ],
)
def test_a_profile_that_cannot_be_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        parse(tomllib.loads(text))


def test_environment_beats_profile_beats_default() -> None:
    with_share = MINIMAL + "gpu_memory_utilization = 0.5"
    name = "VLLM_GPU_MEMORY_UTILIZATION"
    assert settings({name: "0.7"}, with_share)[name] == Setting(name, "0.7", "environment")
    assert settings({}, with_share)[name] == Setting(name, "0.5", "profile test")
    assert settings({})[name] == Setting(name, "None", "default")
    assert settings({name: ""}, with_share)[name].origin == "profile test"


def test_environment_reaches_the_profile() -> None:
    environ = {
        "ORPHEUS_MODEL": "someone/else",
        "VLLM_MAX_MODEL_LEN": "4096",
        "VLLM_QUANTIZATION": "fp8",
        "WARMUP_ON_STARTUP": "0",
    }
    profile = settle(loaded(), environ).profile
    first = profile.checkpoints[0]
    assert (first.source, first.engine.max_model_len, first.engine.quantization) == ("someone/else", 4096, "fp8")
    assert not profile.warmup


def test_variant_swaps_the_released_checkpoint_and_says_that_it_clones() -> None:
    released = MINIMAL.replace('"tiny"', '"canopylabs/orpheus-3b-0.1-ft"')
    first = settle(loaded(released), {"ORPHEUS_VARIANT": "pretrained"}).profile.checkpoints[0]
    assert (first.source, first.can_clone) == ("canopylabs/orpheus-3b-0.1-pretrained", True)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("VLLM_GPU_MEMORY_UTILIZATION", "1.5", "above 0 and up to 1"),
        ("VLLM_GPU_MEMORY_UTILIZATION", "much", "send a number"),
        ("VLLM_MAX_MODEL_LEN", "-1", "a number of tokens"),
        ("VLLM_QUANTIZATION", "int3", "send one of none, fp8"),
        ("WARMUP_ON_STARTUP", "maybe", "send one of 1, true"),
        ("ORPHEUS_VARIANT", "large", "send one of ft, finetuned, pretrained"),
    ],
)
def test_a_variable_that_cannot_be_is_refused_with_the_valid_values(name: str, value: str, message: str) -> None:
    with pytest.raises(LaunchError, match=rf"{name}: '{value}': .*{message}"):
        settle(loaded(), {name: value})


def test_secrets_are_masked() -> None:
    shown: dict[str, Any] = settings({"HF_TOKEN": "hf_abcdef"})
    assert shown["HF_TOKEN"] == Setting("HF_TOKEN", SECRET_SHOWN, "environment")
    assert "abcdef" not in repr(shown)
