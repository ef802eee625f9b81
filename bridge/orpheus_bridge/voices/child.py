"""Work on what strangers sent, in a process of its own with limits that the kernel keeps."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

READ_BYTES = 1 << 16
KILL_S = 5.0
PASSED_ON = ("PATH", "HOME", "HF_HOME", "HF_HUB_OFFLINE", "HF_TOKEN", "XDG_CACHE_HOME")
"""Environment variables that a child gets; passwords are not among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """Bounds of one child; the kernel ends one that goes beyond CPU time, and refuses it more memory."""

    wall_s: float
    cpu_s: int
    memory_bytes: int
    max_answer_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a child said: one JSON object, and bytes."""

    table: Mapping[str, Any]
    data: bytes


class ChildFailed(Exception):
    """It gave no answer: a crash, or one of its limits."""


async def run_child(script: Path, request: Mapping[str, Any], data: bytes, limits: ChildLimits) -> Answer:
    """Runs a Python script isolated: limits and request as its arguments, `data` on its standard input.

    Raises:
        ChildFailed: no answer.
        TimeoutError: it took longer than `wall_s`.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(script), json.dumps(asdict(limits)), json.dumps(request)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd="/",
        env={name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        async with asyncio.timeout(limits.wall_s), asyncio.TaskGroup() as tasks:
            tasks.create_task(_feed(process, data))
            reading = tasks.create_task(_read(process, limits.max_answer_bytes))
            tasks.create_task(process.wait())
    except* ChildFailed as group:
        raise ChildFailed(str(group.exceptions[0])) from None
    finally:
        await _end(process)
    return _parsed(reading.result(), process.returncode)


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None  # noqa: S101  (a pipe was asked for)
    # A child that refuses early does not read to the end.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(data)
        await process.stdin.drain()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.close()
        await process.stdin.wait_closed()


async def _read(process: asyncio.subprocess.Process, max_bytes: int) -> bytes:
    assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
    answer = bytearray()
    while part := await process.stdout.read(READ_BYTES):
        answer += part
        if len(answer) > max_bytes:
            process.kill()
            raise ChildFailed(f"its answer is longer than {max_bytes} bytes")
    return bytes(answer)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), KILL_S)


def _parsed(answer: bytes, status: int | None) -> Answer:
    if status is None or status < 0:
        raise ChildFailed(f"ended by {signal.Signals(-(status or -signal.SIGKILL)).name}")
    line, _, data = answer.partition(b"\n")
    if status or not line:
        raise ChildFailed(f"ended with status {status}")
    return Answer(json.loads(line), data)
