"""Locks between processes of one data home."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from launcher.commands import say


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds a lock file; waits for whoever holds it, and says so. A holder that dies lets go."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another start is at work on {path.stem}; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
