"""Codes for a new voice, from the real `snac_encoder` on a real Triton."""

import asyncio
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from launcher.artefacts import Workshop
from launcher.paths import MODEL_SOURCES, Home
from launcher.ports import Ports
from launcher.profile import Profile
from launcher.server import ServerOptions, TritonServer
from orpheus_bridge.errors import Unavailable
from orpheus_bridge.voices.encoder import TritonEncoder
from orpheus_bridge.voices.fake import FakeStore
from orpheus_bridge.voices.options import EncoderOptions, UploadOptions
from orpheus_bridge.voices.ports import Upload
from orpheus_bridge.voices.recording import KEPT_SAMPLES, Recording, RecordingReader
from orpheus_bridge.voices.register import Registrar
from orpheus_bridge.voices.store import NewVoice
from orpheus_core.layout import SAMPLES_PER_FRAME
from orpheus_core.length import MAX_REFERENCE_FRAMES
from orpheus_core.pcm import Pcm
from triton.bls_repository import server_environment

pytestmark = pytest.mark.triton


def sound(samples: int) -> Pcm:
    return np.random.default_rng(1).integers(-9000, 9000, samples).astype(np.int16)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = Home.from_environment(os.environ)
    environment = server_environment(home, os.environ)
    if environment is None:
        pytest.skip("the server's environment is not made yet: scripts/test makes it")
    artefacts = Workshop(home, environment).prepare(Profile(description="a codec", checkpoints=()))
    folder = tmp_path_factory.mktemp("encoder")
    model = folder / "repository" / "snac_encoder"
    (model / "1").mkdir(parents=True)
    shutil.copy(MODEL_SOURCES / "snac_encoder" / "config.pbtxt", model)
    shutil.copy(artefacts.encoder, model / "1" / "model.onnx")
    options = ServerOptions(
        repository=model.parent, environment=environment, home=Home(folder / "home"), ports=Ports.free()
    )
    with TritonServer(options) as server:
        yield server.grpc_url


@pytest.fixture
async def encoder(url: str) -> AsyncIterator[TritonEncoder]:
    made = TritonEncoder(EncoderOptions(url=url, timeout_s=60))
    yield made
    await made.close()


async def test_the_longest_reference_fits_and_is_what_the_core_takes(encoder: TritonEncoder) -> None:
    codes = await encoder.encode(sound(KEPT_SAMPLES))
    assert codes.shape == (MAX_REFERENCE_FRAMES, 7)
    assert codes.dtype == np.uint16
    assert codes.max() < 4096
    assert len(np.unique(codes)) > 100


async def test_the_last_frame_is_padded_with_silence(encoder: TritonEncoder) -> None:
    samples = sound(5 * SAMPLES_PER_FRAME + 100)
    padded = np.concatenate([samples, np.zeros(SAMPLES_PER_FRAME - 100, np.int16)])
    codes = await encoder.encode(samples)
    assert codes.shape == (6, 7)
    np.testing.assert_array_equal(codes, await encoder.encode(padded))
    assert not np.array_equal(codes, await encoder.encode(samples[::-1].copy()))


async def test_an_upload_is_stored_with_its_codes(encoder: TritonEncoder) -> None:
    store = FakeStore(NewVoice(voice_id="old", name="Old", wav=Recording(sound(48_000), 2.0).wav()))
    registrar = Registrar(store, RecordingReader(UploadOptions()), encoder=encoder)
    wav = Recording(sound(48_000), 2.0).wav()
    row, notes = await registrar.register(Upload(voice_id="new", name="New", data=wav, transcript="Noise."))
    assert (row.has_codes, notes) == (True, ())
    assert await registrar.fill() == 1, "the old row's codes are made up for"
    new = await store.reference("new")
    assert new is not None
    np.testing.assert_array_equal(new.codes, await encoder.encode(sound(48_000)))
    await store.set_transcript("old", "Noise.", "caller")
    old = await store.reference("old")
    assert old is not None
    np.testing.assert_array_equal(old.codes, new.codes)


async def test_a_cancelled_upload_leaves_the_encoder_usable(encoder: TritonEncoder) -> None:
    task = asyncio.create_task(encoder.encode(sound(KEPT_SAMPLES)))
    await asyncio.sleep(0.05)
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    assert (await encoder.encode(sound(SAMPLES_PER_FRAME))).shape == (1, 7)


@pytest.mark.parametrize("wrong", [{"model": "another"}, {"url": "127.0.0.1:1"}, {"timeout_s": 0.001}])
async def test_an_encoder_that_is_not_there(url: str, wrong: dict[str, object]) -> None:
    options = replace(EncoderOptions(url=url), **wrong)  # type: ignore[arg-type]  # fields by name
    encoder = TritonEncoder(options)
    with pytest.raises(Unavailable, match="does not answer"):
        await encoder.encode(sound(SAMPLES_PER_FRAME))
    await encoder.close()


async def test_a_port_that_says_nothing_is_waited_for_no_longer_than_allowed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        encoder = TritonEncoder(EncoderOptions(url=f"127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.5))
        started_s = time.monotonic()
        with pytest.raises(Unavailable):
            await encoder.encode(sound(SAMPLES_PER_FRAME))
        assert time.monotonic() - started_s < 2
        await encoder.close()
