"""The stack of a profile, rendered and served as `scripts/run` does it, and what is seen of it from outside."""

import os
import re
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc.aio import InferenceServerClient, InferInput

from launcher.artefacts import Workshop
from launcher.environments import SERVER_CPU, existing_server_environment
from launcher.paths import Home
from launcher.ports import Ports
from launcher.profile import Profile, load
from launcher.render import render
from launcher.server import ServerOptions, TritonServer
from launcher.server_environment import ServerEnvironment
from launcher.settings import settle
from orpheus_core.checkpoint import Checkpoint
from orpheus_core.layout import SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from orpheus_core.pcm import Pcm, to_pcm
from orpheus_core.sampling import Generation
from orpheus_core.tokens import Frames, TokenParser
from triton.vllm_wire import Wire

DECODER = "snac_decoder"
WHOLE_FRAMES = 64
"""The decoder's longest window: up to here a speech is decoded in one go."""


def profile_of(name: str) -> Profile:
    """A profile of the checkout, as it is without any variable set."""
    return settle(load(name), {}).profile


def spine(folder: Path, profile: Profile | None = None) -> TritonServer:
    """Not started yet, of the profile `cpu` if none is given.

    What is served, the runs and the logs lie under `folder`, the models in the data home.
    """
    home = Home.from_environment(os.environ)
    root = existing_server_environment(home, SERVER_CPU, os.environ)
    if root is None:
        pytest.skip("the server's environment is not made yet: scripts/test makes it")
    environment = ServerEnvironment.at(root)
    profile = profile or profile_of("cpu")
    home.make()
    repository = folder / "repository"
    options = ServerOptions(
        repository=repository,
        environment=environment,
        home=Home(folder / "home"),
        flags=render(profile, Workshop(home, environment).prepare(profile), repository),
        ports=Ports.free(),
        variables={"HF_HUB_OFFLINE": "1", "HF_TOKEN": ""},
        ready_timeout_s=600.0,
    )
    return TritonServer(options)


def figures(server: TritonServer) -> Mapping[str, float]:
    """The metrics page by name and reason, summed over all other labels."""
    with urllib.request.urlopen(server.metrics_url, timeout=10) as page:
        text = page.read().decode()
    values: defaultdict[str, float] = defaultdict(float)
    for name, labels, value in re.findall(r"^(orpheus_\w+|vllm:\w+)(\S*) (\S+)$", text, re.MULTILINE):
        reason = labels.partition('reason="')[2].partition('"')[0]
        values[f"{name} {reason}".strip()] += float(value)
    return values


async def generated(llm: Wire, checkpoint: Checkpoint, prompt: str, *, seed: int) -> tuple[Frames, int]:
    """The codes that the language model itself gives, asked by a stream of our own, and the prompt's tokens."""
    generation = Generation(prompt=prompt, max_frames=WHOLE_FRAMES, sampling=checkpoint.sampling, seed=seed)
    reply = await llm.ask(
        generation.prompt,
        model=checkpoint.model,
        sampling=generation.sampling_parameters(checkpoint),
        stream=True,
        exclude_input_in_output=True,
        return_finish_reason=True,
        return_num_input_tokens=True,
    )
    assert (reply.code, reply.finish_reasons[-1]) == (None, "stop")
    parser = TokenParser()
    frames: Frames = np.concatenate([parser.push(part) for part in reply.texts])
    assert parser.dropped_tokens == 0
    assert reply.prompt_tokens is not None
    return frames, reply.prompt_tokens


async def decoded(url: str, frames: Frames) -> Pcm:
    """A whole speech, [F, 7] with F at most `WHOLE_FRAMES`, by one window of the served decoder."""
    codes = np.zeros((1, WHOLE_FRAMES, TOKENS_PER_FRAME), np.int64)
    codes[0, : len(frames)] = frames
    inputs = [
        _input("codes", "INT64", codes),
        _input("valid", "INT32", np.array([[0, len(frames)]], np.int32)),
    ]
    async with InferenceServerClient(url) as triton:
        answer = await triton.infer(DECODER, inputs)
    return to_pcm(answer.as_numpy("audio")[0, : len(frames) * SAMPLES_PER_FRAME])


def _input(name: str, datatype: str, values: "np.ndarray[tuple[int, ...], np.dtype[np.integer]]") -> InferInput:
    tensor = InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return tensor
