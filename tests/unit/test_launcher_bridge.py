"""What the launcher tells the bridge that it starts beside Triton."""

from pathlib import Path

import pytest

from launcher.bridge import BridgeOptions, BridgeServer
from launcher.paths import Home
from launcher.profile import Streams, available, load
from launcher.runs import Run
from orpheus_bridge.settings import Settings

pytestmark = pytest.mark.unit


def told(
    home: Path, *, model_load_s: float | None = None, warmup_s: float | None = None, max_streams: int | None = None
) -> dict[str, str]:
    server = BridgeServer(
        BridgeOptions(
            home=Home(home),
            triton_url="127.0.0.1:9001",
            triton_metrics_url="http://127.0.0.1:9002/metrics",
            model_load_s=model_load_s,
            warmup_s=warmup_s,
            max_streams=max_streams,
        )
    )
    return dict(server._order(Run(home)).environment)


@pytest.mark.parametrize(("model_load_s", "warmup_s"), [(41.25, 0.0), (None, None)])
def test_the_bridge_reads_what_the_start_took(
    model_load_s: float | None, warmup_s: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What stands in the launcher's own environment is of an earlier start.
    monkeypatch.setenv("ORPHEUS_WARMUP_S", "7")
    for name, value in told(tmp_path, model_load_s=model_load_s, warmup_s=warmup_s).items():
        monkeypatch.setenv(name, value)
    settings = Settings.read()
    assert (settings.model_load_s, settings.warmup_s) == (model_load_s, warmup_s)
    assert settings.triton_url == "127.0.0.1:9001"


@pytest.mark.parametrize(("given", "streams"), [(None, 25), ("7", 7)])
def test_it_lets_in_as_many_as_triton_is_rated_for_unless_it_is_told(
    given: str | None, streams: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORPHEUS_MAX_STREAMS", raising=False)
    if given:
        monkeypatch.setenv("ORPHEUS_MAX_STREAMS", given)
    for name, value in told(tmp_path, max_streams=25).items():
        monkeypatch.setenv(name, value)
    assert Settings.read().max_streams == streams


def test_instances_that_are_not_filled_evenly_are_rated_for_less_than_they_admit() -> None:
    assert Streams(max_streams=25).rated == 25
    assert Streams(max_streams=80, bls_instances=2).rated == 128


@pytest.mark.parametrize("name", available())
def test_a_profile_s_language_models_hold_what_it_is_rated_for_and_a_probe(name: str) -> None:
    profile = load(name).profile
    assert {choice.engine.max_num_seqs for choice in profile.checkpoints} == {profile.streams.rated + 1}
