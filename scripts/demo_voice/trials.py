"""Held-out sentences, as the teacher says them, as the codec gives them back, and as the server speaks them."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from demo_voice.codebook import Codebook
from demo_voice.codes import encoded
from demo_voice.corpus import utterance
from demo_voice.flite import FliteVoice
from demo_voice.sentences import KINDS, Texts
from demo_voice.settings import VOICES
from orpheus_client import SpeechClient, SpeechOptions, SpeechResult
from orpheus_core.checkpoint import Sampling

Audio = npt.NDArray[np.float32]

MAX_CHARS = 180
TEACHER, CODEC, SERVED = "teacher", "codec", "served"
SOURCES = (TEACHER, CODEC, SERVED)


@dataclass(frozen=True, slots=True)
class Trial:
    """One sentence in one voice."""

    voice: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Served:
    """What the server made of a trial."""

    audio: Audio
    result: SpeechResult
    wall_s: float


def trials(texts: Texts, count: int, seed: int) -> list[Trial]:
    """`count` held-out sentences of each kind for each voice, others for each."""
    chosen = []
    for kind in KINDS:
        fitting = [text for text in texts.held_out[kind] if len(text) <= MAX_CHARS]
        picked = random.Random(seed).sample(fitting, min(len(fitting), count * len(VOICES)))  # noqa: S311  (no secret)
        for number, voice in enumerate(VOICES):
            chosen += [Trial(voice.name, kind, text) for text in picked[number :: len(VOICES)]]
    return chosen


class Teacher:
    """flite, and the codec that its speech went through."""

    def __init__(self, codebook: Codebook, decoder: Path) -> None:
        self._voices = {voice.name: FliteVoice(voice.teacher) for voice in VOICES}
        self._codebook = codebook
        self._decoder = onnxruntime.InferenceSession(decoder, providers=["CPUExecutionProvider"])

    def say(self, trial: Trial) -> tuple[Audio, Audio]:
        """The teacher's own audio, and the codec's from the true codes."""
        said = utterance(self._voices[trial.voice], trial.text)
        number = next(i for i, voice in enumerate(VOICES) if voice.name == trial.voice)
        codes = encoded(said, number, self._codebook)
        feed = {"codes": codes[None], "valid": np.array([[0, len(codes)]], dtype=np.int32)}
        return (said.audio / 32767).astype(np.float32), self._decoder.run(None, feed)[0][0]


def sampling_of(address: str) -> Sampling:
    """The defaults of the first checkpoint that is served."""

    async def asked() -> Sampling:
        async with SpeechClient(address) as client:
            return (await client.checkpoints())[0].sampling

    return asyncio.run(asked())


def serve(address: str, chosen: list[Trial]) -> Iterator[tuple[Trial, Served]]:
    """Each trial through the server, one at a time, with the checkpoint's sampling and a seed."""
    with asyncio.Runner() as runner:
        client = SpeechClient(address)
        runner.run(client.__aenter__())
        try:
            for seed, trial in enumerate(chosen):
                yield trial, runner.run(_served(client, trial, seed))
        finally:
            runner.run(client.__aexit__(None, None, None))


async def _served(client: SpeechClient, trial: Trial, seed: int) -> Served:
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    options = SpeechOptions(voice=trial.voice, seed=seed, trim_silence=False)
    async with client.speak(trial.text, options) as stream:
        samples = [chunk.samples async for chunk in stream]
    audio = np.concatenate(samples).astype(np.float32) / np.float32(32767)
    return Served(audio, stream.result, loop.time() - started_s)
