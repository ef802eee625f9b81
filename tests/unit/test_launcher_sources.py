"""What a profile names and is not there, and ports that collide, are told before anything is started."""

from pathlib import Path

import pytest

from launcher.arguments import read_arguments
from launcher.artefacts import Workshop, planned
from launcher.errors import LaunchError
from launcher.paths import Home
from launcher.ports import Ports
from launcher.profile import CheckpointChoice, Codec, Profile
from launcher.run import run
from launcher.server_environment import ServerEnvironment

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("source", ["scripts/no/such/codec", "./codec", "/no/codec", "codec"])
def test_a_codec_that_is_neither_folder_nor_hub_id_is_not_looked_for_on_the_hub(source: str, tmp_path: Path) -> None:
    profile = Profile(
        description="", codec=Codec(source=source), checkpoints=(CheckpointChoice(name="a", source="tiny"),)
    )
    environment = ServerEnvironment(tmp_path, "3.11", tmp_path)
    with pytest.raises(LaunchError, match=f"^{source}: no such folder; give a folder, `random`, or a hub id"):
        Workshop(Home(tmp_path), environment).prepare(profile)


@pytest.mark.parametrize("port", [8001, 8002, 8003])
def test_the_bridge_does_not_take_one_of_tritons_ports(port: int) -> None:
    with pytest.raises(LaunchError, match=rf"^port {port} \(bridge\) is Triton's already: give each its own"):
        Ports().check_apart(port, name="bridge")
    Ports().check_apart(8000, name="bridge")


def test_a_plan_that_is_not_there_or_for_other_windows_is_told(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"^codec\.plan: .* holds no model\.plan: make it with scripts/build_trt"):
        planned(Codec(plan=str(tmp_path)))
    (tmp_path / "model.plan").touch()
    (tmp_path / "plan.json").write_text('{"bucket_frames": [8, 16]}')
    with pytest.raises(LaunchError, match=r"was built for windows of \[8, 16\] frames, the profile has \[8, 64\]"):
        planned(Codec(plan=str(tmp_path), bucket_frames=(8, 64)))
    assert planned(Codec(plan=str(tmp_path), bucket_frames=(8, 16))) == tmp_path / "model.plan"
    assert planned(Codec()) is None


def test_a_start_has_no_backend_for_a_plan(tmp_path: Path) -> None:
    profile = tmp_path / "planned.toml"
    text = f'description = "x"\n[codec]\nplan = "{tmp_path}"\n[[checkpoints]]\nname = "a"\nsource = "tiny"\n'
    profile.write_text(text)
    ports = Ports.free()
    arguments = ["--profile", str(profile), "--port", str(ports.grpc), "--metrics-port", str(ports.metrics)]
    options = read_arguments(["run", "--once", *arguments, "--http-port", str(ports.http)])
    with pytest.raises(LaunchError, match=r"^codec\.plan: this start's own Triton has no TensorRT backend: render"):
        run(options, Home(tmp_path / "home"))
    assert not (tmp_path / "home" / "envs").exists()
