#!/usr/bin/env python3
"""What live streams cost, and what their listeners have of them: the real orpheus_tts on a real Triton, between a
language model that replays tokens at a given rate and a decoder that counts instead of computing.

Runs in the environment of client and tests (.venv); the server's must have been made by scripts/run or scripts/test.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests"))

from launcher.paths import Home  # noqa: E402  (tests/ is on the path only now)
from launcher.profile import Streams  # noqa: E402
from launcher.server import TritonServer  # noqa: E402
from models.replay_script import Script  # noqa: E402
from orpheus_client import Listener  # noqa: E402
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME  # noqa: E402
from triton.bls_repository import Bench, serve, server_environment  # noqa: E402
from triton.bls_wire import RawStream, request_of, wire  # noqa: E402

NO_TRIM = np.array([False])
PERCENTS = (50, 95, 99)
PARTS: Mapping[str, str] = {
    "/orpheus_tts/": "bls",
    "/orpheus_llm/": "llm",
    "/snac_decoder/": "snac",
    "bin/tritonserver": "core",
}
"""What a process is, by what its command line holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of the server."""

    streams: int
    tokens_per_s: float
    frames: int
    group_tokens: int
    starts_within_s: float
    buffer_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One load and what came of it."""

    load: Load
    audio_s: float
    """Of all streams together."""
    wall_s: float
    failed_streams: int
    inexact_streams: int
    """With a sample that is missing, doubled or wrong."""
    first_audio_ms: dict[str, float]
    stalls: int
    streams_with_stalls: int
    stalled_ms: dict[str, float]
    decoded_per_sent: float
    """Real frames of all windows, by the frames of the speech; the first second included."""
    padded_per_sent: float
    messages_per_audio_s: float
    cpu_ms_per_audio_s: dict[str, float]
    """By process; `core` is Triton itself, `client` this one."""


def main() -> int:
    arguments = _parser().parse_args()
    environment = server_environment(Home.from_environment(os.environ), os.environ)
    if environment is None:
        print("error: the server's environment is not made yet: run scripts/test once", file=sys.stderr)
        return 1
    limits = Streams(
        max_streams=max(arguments.streams) + 1,
        bls_instances=arguments.instances,
        crowded_lead_frames=arguments.crowded_lead,
    )
    bench = Bench(streams=limits, decoder_frame_ms=arguments.decoder_frame_ms, cancel_poll_s=0.0)
    with (
        tempfile.TemporaryDirectory(prefix="bench-glue-") as folder,
        serve(bench, environment, Path(folder)) as server,
    ):
        results = asyncio.run(_measure_all(server, _loads(arguments)))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n", "utf-8")
    return 0 if all(result.failed_streams == result.inexact_streams == 0 for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--streams", type=int, nargs="+", default=[64], help="live streams, one load after another")
    add("--rate", type=float, nargs="+", default=[83.0, 125.0], help="tokens a second of each stream; 82 is real time")
    add("--seconds", type=float, default=10.0, help="length of each speech")
    add("--group", type=int, default=7, help="tokens to a response of the language model")
    add("--starts-within", type=float, default=1.0, help="seconds over which the streams begin")
    add("--buffer-ms", type=float, default=60.0, help="buffer of the simulated listener")
    add("--decoder-frame-ms", type=float, default=0.0, help="how long the decoder takes for a frame")
    add("--instances", type=int, default=1, help="instances of orpheus_tts")
    add("--crowded-lead", type=int, default=4, help="frames held back before a slow speech when many others speak")
    add("--json", type=Path, metavar="FILE", help="write the figures to this file")
    return parser


def _loads(arguments: argparse.Namespace) -> list[Load]:
    return [
        Load(
            streams=streams,
            tokens_per_s=rate,
            frames=max(1, round(arguments.seconds * SAMPLE_RATE_HZ / SAMPLES_PER_FRAME)),
            group_tokens=arguments.group,
            starts_within_s=arguments.starts_within,
            buffer_ms=arguments.buffer_ms,
        )
        for streams in arguments.streams
        for rate in arguments.rate
    ]


async def _measure_all(server: TritonServer, loads: Sequence[Load]) -> list[Result]:
    results = []
    for load in loads:
        await _speak(server.grpc_url, [Script(frames=8)], within_s=0.0)
        results.append(await _measure(server, load))
        print(_summary(results[-1]), flush=True)
    return results


async def _measure(server: TritonServer, load: Load) -> Result:
    scripts = [
        Script(frames=load.frames, rate=load.tokens_per_s, group=load.group_tokens, stream=number)
        for number in range(load.streams)
    ]
    cpu_before, started_s = _cpu_seconds(), time.monotonic()
    streams = await _speak(server.grpc_url, scripts, within_s=load.starts_within_s)
    wall_s, cpu_after = time.monotonic() - started_s, _cpu_seconds()
    spent_s = {part: cpu_after[part] - cpu_before.get(part, 0.0) for part in cpu_after}
    return _result(load, scripts, streams, wall_s=wall_s, spent_s=spent_s)


async def _speak(url: str, scripts: Sequence[Script], *, within_s: float) -> list[RawStream]:
    async with wire(url) as opened:

        async def one(number: int, script: Script) -> RawStream:
            await asyncio.sleep(within_s * number / len(scripts))
            return await opened.read(request_of(str(script), trim_silence=NO_TRIM))

        return await asyncio.gather(*(one(number, script) for number, script in enumerate(scripts)))


def _result(
    load: Load, scripts: Sequence[Script], streams: Sequence[RawStream], *, wall_s: float, spent_s: Mapping[str, float]
) -> Result:
    spoken = [stream for stream in streams if stream.finish_reason]
    inexact = sum(
        not np.array_equal(stream.audio, script.samples())
        for stream, script in zip(streams, scripts, strict=True)
        if stream.finish_reason
    )
    heard = [_heard(stream, buffer_ms=load.buffer_ms) for stream in spoken]
    generated_s = sum(stream.stats["generated_s"] for stream in spoken) or 1.0
    return Result(
        load=load,
        audio_s=round(generated_s, 1),
        wall_s=round(wall_s, 2),
        failed_streams=len(streams) - len(spoken),
        inexact_streams=inexact,
        first_audio_ms=_spread([1000 * stream.arrived_s[0] for stream in spoken]),
        stalls=sum(stalls for stalls, _ in heard),
        streams_with_stalls=sum(stalls > 0 for stalls, _ in heard),
        stalled_ms=_spread([stalled_ms for _, stalled_ms in heard]),
        decoded_per_sent=round(sum(stream.stats["decoded_s"] for stream in spoken) / generated_s, 3),
        padded_per_sent=round(sum(stream.stats["padded_s"] for stream in spoken) / generated_s, 3),
        messages_per_audio_s=round(sum(len(stream.arrived_s) for stream in spoken) / generated_s, 2),
        cpu_ms_per_audio_s={part: round(1000 * seconds / generated_s, 2) for part, seconds in sorted(spent_s.items())},
    )


def _heard(stream: RawStream, *, buffer_ms: float) -> tuple[int, float]:
    """Stalls of the listener, and their milliseconds together."""
    listener = Listener(buffer_ms=buffer_ms)
    for samples, at_s in zip(stream.samples, stream.arrived_s, strict=True):
        listener.push(samples, at_s=at_s)
    heard = listener.flush()
    return heard.stalls, 1000 * heard.stalled_s


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    return {f"p{percent}": round(float(np.percentile(values, percent)), 1) for percent in PERCENTS}


def _cpu_seconds() -> dict[str, float]:
    """Processor time so far of this process and of everything that it started, by part."""
    own = psutil.Process()
    spent_s = {"client": _seconds(own)}
    for process in own.children(recursive=True):
        line = " ".join(process.cmdline())
        part = next((name for mark, name in PARTS.items() if mark in line), "other")
        spent_s[part] = spent_s.get(part, 0.0) + _seconds(process)
    return spent_s


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _summary(result: Result) -> str:
    load, cpu, first = result.load, result.cpu_ms_per_audio_s, result.first_audio_ms
    return (
        f"{load.streams} streams at {load.tokens_per_s:g} tokens/s: {result.failed_streams} failed, "
        f"{result.inexact_streams} inexact; first audio p50 {first['p50']:.0f} p95 {first['p95']:.0f} p99 "
        f"{first['p99']:.0f} ms; {result.stalls} stalls in {result.streams_with_stalls} streams, p99 "
        f"{result.stalled_ms['p99']:.0f} ms; decoded per sent {result.decoded_per_sent:.2f}, padded "
        f"{result.padded_per_sent:.2f}; CPU-ms per audio second: "
        + ", ".join(f"{part} {spent:.1f}" for part, spent in cpu.items())
    )


if __name__ == "__main__":
    sys.exit(main())
