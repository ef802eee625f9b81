"""Which processes and shared-memory files belong to a server.

Every process of a server keeps the working directory it was started in, a folder made for that one run. That mark
survives re-parenting, a new title and the death of the launcher, and no recycled process id can carry it by chance.
"""

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (the kernel's folder, not a scratch name)
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def working_in(folder: Path) -> set[int]:
    """Ids of the live processes whose working directory is `folder`, even if that was deleted since."""
    marks = {str(folder), f"{folder} (deleted)"}
    return {pid for pid in all_processes() if _working_directory(pid) in marks}


def all_processes() -> set[int]:
    """Ids of all processes that this user can see."""
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def shared_memory_of(pids: Iterable[int]) -> set[Path]:
    """Files in /dev/shm that these processes have mapped and that still have their name."""
    return {path for pid in pids for path in _mapped_shared_memory(pid)}


def kill(pids: Iterable[int]) -> None:
    """SIGKILL to each; one that is gone already is no error."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def remove_shared_memory(*, prefix: str, seen: Iterable[Path]) -> None:
    """Removes the files that begin with `prefix`, and those of `seen` that no live process maps any more.

    A client may lend the server memory of its own: that one is mapped by the client still, and stays.
    """
    held = shared_memory_of(all_processes())
    for path in {*SHARED_MEMORY.glob(f"{prefix}*"), *(set(seen) - held)}:
        path.unlink(missing_ok=True)


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent dies, so that it can reap them."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Keeps signals that would end this process until the end of the block.

    While a process is being started they could be lost, as what Python calls around a fork swallows exceptions, or
    come when the new process runs and nobody knows of it yet.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> Callable[[], None]:
    """For use between fork and exec: asks the kernel to send the new process SIGTERM when this one dies."""
    parent = os.getpid()

    def ask() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        # It may have died before it was asked.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _working_directory(pid: int) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return None


def _mapped_shared_memory(pid: int) -> set[Path]:
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    names = (line.split(maxsplit=5)[5] for line in lines if " /dev/shm/" in line)
    return {Path(name) for name in names if not name.endswith(" (deleted)")}
