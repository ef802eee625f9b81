"""What the launcher tells the bridge that it starts beside Triton."""

from pathlib import Path

import pytest

from launcher.bridge import BridgeOptions, BridgeServer
from launcher.paths import Home
from launcher.runs import Run
from orpheus_bridge.settings import Settings

pytestmark = pytest.mark.unit


def told(home: Path, *, model_load_s: float | None, warmup_s: float | None) -> dict[str, str]:
    server = BridgeServer(
        BridgeOptions(
            home=Home(home),
            triton_url="127.0.0.1:9001",
            triton_metrics_url="http://127.0.0.1:9002/metrics",
            model_load_s=model_load_s,
            warmup_s=warmup_s,
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
