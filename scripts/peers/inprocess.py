"""vLLM and the decoder in one process, without Triton; runs in the server's environment.

Reads a `Task` as JSON from standard input, writes speeches to the file that it names, and a line when it is done.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import psutil

from llm_backend.cores import bound_threads
from llm_backend.engine import Engine
from llm_backend.request import Generation
from orpheus_core.checkpoint import Checkpoint, Decoder, load_checkpoints
from orpheus_core.layout import SAMPLES_PER_FRAME
from orpheus_core.pcm import Pcm, to_pcm
from orpheus_core.tokens import Frames, TokenParser
from peers.windows import Decode, ScheduledWindow, SlidingWindow, Stage

THREADS = 1
"""Of the decoder, as many as the served one has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to speak, with what."""

    engine: dict[str, Any]
    """Arguments of vLLM's engine."""
    decoder: str
    """The ONNX file."""
    checkpoints: str
    """The list as the server has it; the first one is meant."""
    prompts: list[str]
    sampling: list[str]
    """For each prompt, the sampling parameters as `orpheus_llm` takes them."""
    streams: int
    """Spoken at once."""
    out: str


def main() -> int:
    """Speaks everything twice: with the package's window, then with this project's."""
    task = Task(**json.load(sys.stdin))
    # As the served engine: else vLLM's waiting worker is what is measured.
    bound_threads(os.environ, len(os.sched_getaffinity(0)))
    checkpoint = load_checkpoints(task.checkpoints)[0]
    engine = Engine(task.engine)
    engine.start()
    try:
        decode = _decode(task.decoder, checkpoint.decoder)
        found = {}
        for name in ("package", "exact"):
            engine.run(_all(engine, task, checkpoint, decode, name, count=1)).result()
            found[name] = engine.run(_all(engine, task, checkpoint, decode, name, count=len(task.prompts))).result()
        # numpy's stub takes the names of arrays for its own options.
        np.savez(task.out, **_packed(found))  # type: ignore[arg-type]
    finally:
        engine.stop(10.0)
    return 0


async def _all(
    engine: Engine, task: Task, checkpoint: Checkpoint, decode: Decode, name: str, *, count: int
) -> dict[str, Any]:
    before_s, started_s = _cpu_s(), time.monotonic()
    gate = asyncio.Semaphore(task.streams)

    async def one(index: int) -> dict[str, Any]:
        async with gate:
            stage: Stage = SlidingWindow(decode) if name == "package" else ScheduledWindow(decode, checkpoint.decoder)
            return await _speech(engine, task.prompts[index], task.sampling[index], stage, decode)

    speeches = await asyncio.gather(*(one(index) for index in range(count)))
    return {"speeches": speeches, "cpu_s": _cpu_s() - before_s, "wall_s": time.monotonic() - started_s}


async def _speech(engine: Engine, prompt: str, sampling: str, stage: Stage, decode: Decode) -> dict[str, Any]:
    started_s = time.monotonic()
    chunks: list[Pcm] = []
    arrived_s: list[float] = []
    frames: list[Frames] = []
    async for frame in _frames(engine, prompt, sampling):
        frames.append(frame)
        # The package decodes in the loop that reads the tokens; so does this, in a thread, that others may go on.
        if len(samples := await asyncio.to_thread(stage.push, frame)):
            chunks.append(samples)
            arrived_s.append(time.monotonic() - started_s)
    if len(samples := await asyncio.to_thread(stage.flush)):
        chunks.append(samples)
        arrived_s.append(time.monotonic() - started_s)
    whole = to_pcm(await asyncio.to_thread(_whole, decode, np.concatenate(frames)))
    return {"chunks": chunks, "arrived_s": arrived_s, "whole": whole, "decoded_frames": stage.decoded_frames}


async def _frames(engine: Engine, prompt: str, sampling: str) -> AsyncIterator[Frames]:
    parser = TokenParser()
    generation = Generation(prompt=prompt, is_streamed=True, sampling=json.loads(sampling))
    async for delta in engine.generate(generation):
        for frame in parser.push(delta.text):
            yield frame[None]


def _decode(path: str, decoder: Decoder) -> Decode:
    """In the decoder's lengths, as the server is asked for them; longer ones as they are."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def decode(codes: Frames, real_frames: int) -> npt.NDArray[np.float32]:
        length = next((bucket for bucket in decoder.bucket_frames if bucket >= len(codes)), len(codes))
        padded = np.pad(codes, ((0, length - len(codes)), (0, 0)))
        feed = {"codes": padded[None].astype(np.int64), "valid": np.array([[0, real_frames]], np.int32)}
        audio: npt.NDArray[np.float32] = session.run(None, feed)[0][0][: SAMPLES_PER_FRAME * len(codes)]
        return audio

    return decode


def _whole(decode: Decode, frames: Frames) -> npt.NDArray[np.float32]:
    return decode(frames, len(frames))


def _cpu_s() -> float:
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return float(sum(t.user + t.system for t in times))


def _packed(found: dict[str, dict[str, Any]]) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, result in found.items():
        arrays[f"{name}/totals"] = np.array([result["cpu_s"], result["wall_s"], len(result["speeches"])])
        for number, speech in enumerate(result["speeches"]):
            mark = f"{name}/{number}"
            arrays[f"{mark}/samples"] = np.concatenate(speech["chunks"])
            arrays[f"{mark}/lengths"] = np.array([len(chunk) for chunk in speech["chunks"]])
            arrays[f"{mark}/arrived_s"] = np.array(speech["arrived_s"])
            arrays[f"{mark}/whole"] = speech["whole"]
            arrays[f"{mark}/decoded_frames"] = np.array(speech["decoded_frames"])
    return arrays


if __name__ == "__main__":
    sys.exit(main())
