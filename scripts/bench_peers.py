#!/usr/bin/env python3
"""The same language model and the same decoder three times, in one run: with the Orpheus package's sliding window in
one process, with this project's window in one process, and through Triton as this project serves it.

Runs in the environment of client and tests (.venv); the server's must have been made by scripts/run or scripts/test.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests"))

from e2e.spine import decoded, generated  # noqa: E402  (tests/ is on the path only now)
from launcher.artefacts import Artefacts, Workshop  # noqa: E402
from launcher.environments import SERVER_CPU, existing_server_environment  # noqa: E402
from launcher.paths import LOCAL_BACKENDS, MODEL_SOURCES, SCRIPTS, Home  # noqa: E402
from launcher.ports import Ports  # noqa: E402
from launcher.profile import load  # noqa: E402
from launcher.render import parse_config, render  # noqa: E402
from launcher.server import ServerOptions, TritonServer  # noqa: E402
from launcher.server_environment import ServerEnvironment  # noqa: E402
from orpheus_bls.settings import read_settings  # noqa: E402
from orpheus_client import SpeechClient, SpeechOptions  # noqa: E402
from orpheus_core.checkpoint import dump_checkpoints  # noqa: E402
from orpheus_core.request import SpeechRequest, parse_request  # noqa: E402
from peers.figures import Figures, Speech, figures  # noqa: E402
from triton.vllm_wire import wire  # noqa: E402

TEXTS = (
    "good morning. the kettle is on.",
    "it is twenty past nine in london.",
    "the meeting moved to friday at three.",
    "turn left at the next corner.",
    "your parcel will arrive tomorrow.",
    "there are eleven new messages for you.",
    "the window in the kitchen is open.",
    "i will call you when dinner is ready.",
)
NAMES = {
    "package": "one process, the package's window",
    "exact": "one process, this project's window",
    "triton": "this project, through Triton",
}
CHILD_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What is served, and with what."""

    repository: Path
    artefacts: Artefacts
    environment: ServerEnvironment


def main() -> int:
    options = _parser().parse_args()
    home = Home.from_environment(os.environ)
    root = existing_server_environment(home, SERVER_CPU, os.environ)
    if root is None:
        print("error: the server's environment is not made yet: run scripts/test once", file=sys.stderr)
        return 1
    environment, profile = ServerEnvironment.at(root), load(options.profile).profile
    artefacts = Workshop(home, environment).prepare(profile)
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as name:
        folder = Path(name)
        repository = folder / "repository"
        flags = render(profile, artefacts, repository)
        requests = _requests(repository)
        parts = Parts(repository, artefacts, environment)
        found = _in_process(options.streams, requests, parts, folder)
        server = ServerOptions(
            repository=repository, environment=environment, home=Home(folder / "home"), flags=flags,
            ports=Ports.free(), variables={"HF_HUB_OFFLINE": "1"}, ready_timeout_s=600.0,
        )  # fmt: skip
        with TritonServer(server) as triton:
            found["triton"] = asyncio.run(_through_triton(triton, requests, options.streams))
    print(_table(found))
    if options.json:
        options.json.write_text(json.dumps({n: asdict(f) for n, f in found.items()}, indent=2) + "\n", "utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--profile", default="cpu", help="whose first checkpoint and codec are compared")
    parser.add_argument("--streams", type=int, default=1, help="speeches at once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    return parser


def _requests(repository: Path) -> list[SpeechRequest]:
    """What the server makes of the texts."""
    folder = repository / "orpheus_tts"
    config = parse_config(folder / "config.pbtxt")
    parameters = {key: {"string_value": value.string_value} for key, value in config.parameters.items()}
    settings = read_settings(json.dumps({"parameters": parameters}), folder / "1")
    return [
        parse_request(
            {"text": np.array([text.encode()], dtype=np.object_), "seed": np.array([seed])},
            settings.checkpoints, settings.lexicons,
        )
        for seed, text in enumerate(TEXTS)
    ]  # fmt: skip


def _in_process(streams: int, requests: Sequence[SpeechRequest], parts: Parts, folder: Path) -> dict[str, Figures]:
    out = folder / "inprocess.npz"
    task = {
        "engine": json.loads((parts.repository / "orpheus_llm" / "1" / "model.json").read_text(encoding="utf-8")),
        "decoder": str(parts.artefacts.decoder),
        "checkpoints": dump_checkpoints((requests[0].checkpoint,)),
        "prompts": [request.generation.prompt for request in requests],
        "sampling": [request.generation.sampling_parameters(request.checkpoint) for request in requests],
        "streams": streams,
        "out": str(out),
    }
    roots = (SCRIPTS, MODEL_SOURCES / "orpheus_tts" / "1", LOCAL_BACKENDS / "vllm")
    variables = {**parts.environment.variables(os.environ), "PYTHONPATH": os.pathsep.join(map(str, roots))}
    subprocess.run(
        [parts.environment.python, "-m", "peers.inprocess"], input=json.dumps(task), text=True, env=variables,
        check=True, timeout=CHILD_TIMEOUT_S, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with np.load(out) as arrays:
        return {name: _read(dict(arrays), name) for name in ("package", "exact")}


def _read(arrays: dict[str, np.ndarray], name: str) -> Figures:
    cpu_s, wall_s, count = arrays[f"{name}/totals"].tolist()
    speeches = []
    for number in range(int(count)):
        mark = f"{name}/{number}"
        edges = np.cumsum(arrays[f"{mark}/lengths"])[:-1]
        speeches.append(
            Speech(
                chunks=np.split(arrays[f"{mark}/samples"], edges),
                arrived_s=arrays[f"{mark}/arrived_s"].tolist(),
                whole=arrays[f"{mark}/whole"],
                decoded_frames=int(arrays[f"{mark}/decoded_frames"]),
            )
        )
    return figures(speeches, cpu_s=cpu_s, wall_s=wall_s)


async def _through_triton(server: TritonServer, requests: Sequence[SpeechRequest], streams: int) -> Figures:
    async with SpeechClient(server.grpc_url) as client, wire(server.grpc_url) as llm:
        await _spoken(client, TEXTS[0], 0)
        before_s, started_s = _cpu_s(), time.monotonic()
        gate = asyncio.Semaphore(streams)

        async def one(seed: int, text: str) -> tuple[list[np.ndarray], list[float], float]:
            async with gate:
                return await _spoken(client, text, seed)

        heard = await asyncio.gather(*(one(seed, text) for seed, text in enumerate(TEXTS)))
        cpu_s, wall_s = _cpu_s() - before_s, time.monotonic() - started_s
        speeches = []
        for seed, ((chunks, arrived_s, decoded_s), request) in enumerate(zip(heard, requests, strict=True)):
            frames, _ = await generated(llm, request.checkpoint, request.generation.prompt, seed=seed)
            speeches.append(
                Speech(
                    chunks=chunks, arrived_s=arrived_s, whole=await decoded(server.grpc_url, frames),
                    decoded_frames=round(decoded_s * 24_000 / 2048),
                )
            )  # fmt: skip
    return figures(speeches, cpu_s=cpu_s, wall_s=wall_s)


async def _spoken(client: SpeechClient, text: str, seed: int) -> tuple[list[np.ndarray], list[float], float]:
    started_s = time.monotonic()
    chunks, arrived_s = [], []
    async with client.speak(text, SpeechOptions(seed=seed, trim_silence=False)) as stream:
        async for chunk in stream:
            chunks.append(chunk.samples)
            arrived_s.append(time.monotonic() - started_s)
    return chunks, arrived_s, stream.result.stats.decoded_s


def _cpu_s() -> float:
    """Of this process and all that it started: the server with everything in it, and the client."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return float(sum(t.user + t.system for t in times))


def _table(found: dict[str, Figures]) -> str:
    lines = [
        "| | first audio / audible, ms | decoded per sent | CPU-ms per audio s | against the whole decode | "
        "samples lost | times real time |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, title in NAMES.items():
        f = found[name]
        level = "equal" if np.isinf(f.difference_db) else f"{f.difference_db:.0f} dB"
        lines.append(
            f"| {title} | {f.first_audio_ms:.0f} / {f.first_audible_ms:.0f} | {f.decoded_per_sent:.2f} | "
            f"{f.cpu_ms_per_audio_s:.0f} | {level} | {f.lost_samples} | {f.times_real_time:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
