"""Two checkpoints in one Triton, on two real engines: language, voice and reference choose the one that speaks.

One server serves all tests; the last one ends it.
"""

import re
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from e2e.spine import profile_of, spine
from launcher.server import TritonServer
from orpheus_client import InvalidInput, Reference, SpeechClient, SpeechOptions, Timeouts
from orpheus_core.layout import CODES_PER_SLOT, TOKENS_PER_FRAME
from orpheus_core.pcm import Pcm

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]

PROFILE = Path(__file__).with_name("two_checkpoints.toml")
WAIT_S = 120.0
FIRST, SECOND = "orpheus_llm", "orpheus_llm_german"
TEXT = "The kettle is on."
REFERENCE_FRAMES = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    with spine(tmp_path_factory.mktemp("two"), profile_of(str(PROFILE))) as server:
        yield server
    assert server.leftovers() == []


@pytest.fixture
async def client(server: TritonServer) -> AsyncIterator[SpeechClient]:
    patient = Timeouts(first_audio_s=WAIT_S, between_chunks_s=WAIT_S, total_s=WAIT_S)
    async with SpeechClient(server.grpc_url, timeouts=patient) as client:
        yield client


class Work:
    """Prompt tokens that each engine got since this was made."""

    def __init__(self, server: TritonServer) -> None:
        self._server = server
        self._before = self._counted()

    def wait(self) -> Counter[str]:
        """As soon as there are some; the engines report twice a second."""
        deadline = time.monotonic() + WAIT_S
        while not (work := self._counted() - self._before):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return work

    def _counted(self) -> Counter[str]:
        with urllib.request.urlopen(self._server.metrics_url, timeout=10) as page:
            text = page.read().decode()
        found = re.findall(r'^vllm:prompt_tokens_total\{.*?model="(\w+)".*?\} (\S+)$', text, re.MULTILINE)
        return Counter({model: int(float(value)) for model, value in found})


async def spoken(client: SpeechClient, options: SpeechOptions) -> Pcm:
    pieces = [chunk.samples async for chunk in client.speak(TEXT, options)]
    return np.concatenate(pieces)


@pytest.mark.parametrize(
    ("options", "model"),
    [
        (SpeechOptions(), FIRST),
        (SpeechOptions(language="en-GB"), FIRST),
        (SpeechOptions(voice="tara"), FIRST),
        (SpeechOptions(language="de"), SECOND),
        (SpeechOptions(language="de-AT", voice="max"), SECOND),
        (SpeechOptions(voice="jana"), SECOND),
    ],
    ids=["default", "en", "tara", "de", "de and max", "jana"],
)
async def test_language_and_voice_choose_the_engine(
    options: SpeechOptions, model: str, client: SpeechClient, server: TritonServer
) -> None:
    work = Work(server)
    assert len(await spoken(client, options)) > 0
    assert work.wait().keys() == {model}


async def test_a_reference_goes_to_the_one_that_clones_and_is_in_its_prompt(
    client: SpeechClient, server: TritonServer
) -> None:
    codes = np.random.default_rng(0).integers(0, CODES_PER_SLOT, (REFERENCE_FRAMES, TOKENS_PER_FRAME))
    work = Work(server)
    cloned = SpeechOptions(reference=Reference(text="What is said in it.", codes=codes.ravel()), seed=1)
    assert len(await spoken(client, cloned)) > 0
    done = work.wait()
    assert done.keys() == {SECOND}
    assert done[SECOND] > REFERENCE_FRAMES * TOKENS_PER_FRAME


async def test_what_neither_speaks_is_refused_with_what_both_do(client: SpeechClient) -> None:
    with pytest.raises(InvalidInput, match=r"language: .*send one of de, en"):
        await spoken(client, SpeechOptions(language="fr"))
    with pytest.raises(InvalidInput, match=r"voice: .*jana"):
        await spoken(client, SpeechOptions(language="de", voice="tara"))


async def test_the_two_do_not_sound_alike(client: SpeechClient) -> None:
    english = await spoken(client, SpeechOptions(seed=1))
    german = await spoken(client, SpeechOptions(language="de", seed=1))
    assert not np.array_equal(english, german)
