"""The folder of one running server, and what must go with it."""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from launcher.locks import exclusive
from launcher.paths import Home
from launcher.processes import SHARED_MEMORY, kill, remove_shared_memory, working_in

KILL_TIMEOUT_S = 5.0
KILL_INTERVAL_S = 0.02
LOCK_FILE = "alive"
"""Locked by the supervisor as long as it lives."""

LEDGER = "shared_memory.json"
"""The shared-memory files seen in use, for the case that the supervisor is killed too."""


@dataclass(frozen=True, slots=True)
class Run:
    """Every process of a run works in its folder (`processes`)."""

    folder: Path

    @property
    def shared_memory_prefix(self) -> str:
        """Triton's python backend names its files with it."""
        return f"orpheus-{self.folder.name}-"

    def note(self, shared_memory: Iterable[Path]) -> None:
        """Keeps the names for `wipe`."""
        ledger = self.folder / LEDGER
        draft = ledger.with_suffix(".new")
        draft.write_text(json.dumps(sorted(map(str, shared_memory))), encoding="utf-8")
        draft.replace(ledger)

    def end_processes(self, *, spare: Collection[int] = ()) -> None:
        """Kills all processes of the run but those to spare."""
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while (rest := working_in(self.folder) - set(spare)) and time.monotonic() < deadline:
            kill(rest)
            time.sleep(KILL_INTERVAL_S)

    def wipe(self) -> None:
        """Removes shared memory and folder; the processes have ended."""
        remove_shared_memory(prefix=self.shared_memory_prefix, seen=self._noted())
        shutil.rmtree(self.folder, ignore_errors=True)

    def leftovers(self) -> list[str]:
        """What is there of it: processes, shared-memory files, the folder."""
        processes = [f"process {pid}" for pid in sorted(working_in(self.folder))]
        files = {*SHARED_MEMORY.glob(f"{self.shared_memory_prefix}*"), *filter(Path.exists, self._noted())}
        return processes + sorted(map(str, files)) + ([str(self.folder)] if self.folder.exists() else [])

    def _noted(self) -> set[Path]:
        try:
            return {Path(name) for name in json.loads((self.folder / LEDGER).read_text(encoding="utf-8"))}
        except OSError:
            return set()


def open_run(home: Home) -> tuple[Run, int]:
    """A new run and the descriptor that holds its lock, to be handed to the supervisor.

    What runs left whose supervisor was killed is removed on the occasion.
    """
    with exclusive(home.root / "runs.lock"):
        for folder in home.runs.iterdir():
            _clear_if_dead(Run(folder))
        run = Run(home.runs / secrets.token_hex(4))
        run.folder.mkdir(mode=0o700)
        lock_fd = os.open(run.folder / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
    return run, lock_fd


def _clear_if_dead(run: Run) -> None:
    with contextlib.suppress(OSError), (run.folder / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        run.end_processes()
        run.wipe()
