"""Triton warms the decoder up with every window length before it is ready, on a Python backend too.

The backend is the real one of `scripts/local_backends`; a line in its log tells of each run.
"""

import os
import re
import shutil
from collections.abc import Iterator

import pytest

from launcher.artefacts import Artefacts, Workshop
from launcher.paths import LOCAL_BACKENDS, Home
from launcher.ports import Ports
from launcher.profile import Codec, Profile
from launcher.render import Content, plan, write
from launcher.server import ServerOptions, TritonServer
from triton.bls_repository import server_environment

pytestmark = [pytest.mark.triton, pytest.mark.timeout(900)]

BUCKET_FRAMES = (8, 12)
"""Not those of the checkout's configuration: what is warmed up is what the profile says."""

TELLING = """

def _telling(run):
    def told(self, feed):
        print("RUN", *(tuple(feed[name].shape) for name in ("codes", "valid")), flush=True)
        return run(self, feed)
    return told


TritonPythonModel._run = _telling(TritonPythonModel._run)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    home = Home.from_environment(os.environ)
    environment = server_environment(home, os.environ)
    if environment is None:
        pytest.skip("the server's environment is not made yet: scripts/test makes it")
    home.make()
    folder = tmp_path_factory.mktemp("warmup")
    shutil.copytree(LOCAL_BACKENDS / "onnxruntime", folder / "backends" / "onnxruntime")
    with (folder / "backends" / "onnxruntime" / "model.py").open("a") as source:
        source.write(TELLING)
    profile = Profile(description="a decoder", codec=Codec(bucket_frames=BUCKET_FRAMES), checkpoints=())
    write(_decoder_alone(profile, Workshop(home, environment).prepare(profile)), folder / "repository")
    options = ServerOptions(
        repository=folder / "repository",
        environment=environment,
        home=Home(folder / "home"),
        ports=Ports.free(),
        backends=folder / "backends",
        ready_timeout_s=600.0,
    )
    with TritonServer(options) as server:
        yield server
    assert server.leftovers() == []


def _decoder_alone(profile: Profile, artefacts: Artefacts) -> dict[str, Content]:
    return {name: content for name, content in plan(profile, artefacts).items() if name.startswith("snac_decoder/")}


def test_each_length_ran_once_before_the_server_was_ready(server: TritonServer) -> None:
    log = server.log_path.read_text()
    runs = re.findall(r"^RUN \((.*?)\) \((.*?)\)$", log, re.MULTILINE)
    assert runs == [(f"1, {frames}, 7", "1, 2") for frames in BUCKET_FRAMES]
    assert log.index("RUN ") < log.index("successfully loaded 'snac_decoder'")
