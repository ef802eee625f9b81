"""Long steps of the set-up: announced, visible, ended with this process."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from launcher.errors import LaunchError
from launcher.processes import end_with_parent, signals_held

FULL_DISK_BYTES = 64 << 20
"""A step that failed with less than this free most likely failed for want of space."""


def say(line: str) -> None:
    """One line of progress."""
    print(line, flush=True)


def run_step(
    title: str, command: Sequence[str | Path], *, writes_to: Path, env: Mapping[str, str] | None = None
) -> None:
    """Runs a command in sight of the user and waits for it.

    Raises:
        LaunchError: it failed; says whether the disk of `writes_to` is full.
    """
    say(f"  {title} ...")
    started = time.monotonic()
    code = _run(command, env)
    if code == 0:
        say(f"  {title}: {time.monotonic() - started:.0f} s")
        return
    if free_bytes(writes_to) < FULL_DISK_BYTES:
        raise LaunchError(f"{title}: the disk of {writes_to} is full: free some space and start again")
    raise LaunchError(f"{title} failed with status {code}; its own messages stand above. Start again to resume")


def try_step(title: str, command: Sequence[str | Path]) -> bool:
    """Runs a command that may fail, without its messages; whether it succeeded."""
    say(f"  {title} ...")
    return _run(command, None, quiet=True) == 0


def require_free_bytes(folder: Path, needed: int, what: str) -> None:
    """
    Raises:
        LaunchError: the disk of `folder` (or of its nearest parent that exists) holds less than `needed` free bytes.
    """
    if (free := free_bytes(folder)) < needed:
        raise LaunchError(
            f"{what} needs {needed / 1e9:.1f} GB on the disk of {folder}, {free / 1e9:.1f} GB are free: "
            "free some space, or name another data home with --home"
        )


def free_bytes(folder: Path) -> int:
    """Free bytes for this user on the disk where `folder` is, or will be."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free


def _run(command: Sequence[str | Path], env: Mapping[str, str] | None, *, quiet: bool = False) -> int:
    """In a process group of its own: an interrupt reaches this process, which then ends the group."""
    process: subprocess.Popen[bytes] | None = None
    try:
        with signals_held():
            process = _start(command, env, output=subprocess.DEVNULL if quiet else None)
        return process.wait()
    except BaseException:
        if process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise
    finally:
        sys.stdout.flush()


def _start(
    command: Sequence[str | Path], env: Mapping[str, str] | None, *, output: int | None
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
            preexec_fn=end_with_parent(),  # noqa: PLW1509  (no other thread runs during the set-up)
        )
    except OSError as error:
        raise LaunchError(f"{command[0]} does not start ({error.strerror})") from None
