"""What a start tells: settings with their origin, waiting, the sentence's figures."""

import sys
import time
from types import TracebackType

from launcher.commands import say
from launcher.memory import Demand
from launcher.sample import Sample
from launcher.settings import Settled

PLAIN_INTERVAL_S = 10.0
"""How often a line tells of progress where the output is no terminal."""


def show_settings(profile_name: str, settled: Settled) -> None:
    """Each setting, its value and where that came from."""
    say(f"Profile {profile_name}: {settled.profile.description}")
    width = max(len(setting.name) for setting in settled.settings)
    for setting in settled.settings:
        say(f"  {setting.name:<{width}}  {setting.value}  ({setting.origin})")


def show_memory(card: str, demand: Demand) -> None:
    """The card's memory, piece by piece, and what it does not hold."""
    say(f"Memory of {card}")
    rows = demand.rows()
    width = max(len(row.what) for row in rows)
    for row in rows:
        say(f"  {row.what:<{width}}  {row.size_bytes / 1e9:6.2f} GB  {row.why}".rstrip())
    for warning in demand.warnings():
        say(f"  {warning}")


def show_sample(sample: Sample) -> None:
    """The file and how fast it came."""
    say(
        f"Spoken: {sample.path}\n"
        f"  first audio {sample.first_audio_ms:.0f} ms, audio {sample.audio_s:.2f} s, "
        f"real-time factor {sample.real_time_factor:.2f}"
    )


class Waiting:
    """One line that shows that something goes on: rewritten on a terminal, repeated at times elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._started_s = time.monotonic()
        self._shown_s = 0.0
        self._is_terminal = sys.stdout.isatty()

    def __enter__(self) -> "Waiting":
        self._started_s = time.monotonic()
        say(f"{self._what} ...")
        return self

    def show(self, elapsed_s: float, detail: str) -> None:
        """Progress: seconds so far and what is being done."""
        if self._is_terminal:
            print(f"\r\x1b[K  {elapsed_s:4.0f} s  {detail[:100]}", end="", flush=True)
        elif elapsed_s - self._shown_s >= PLAIN_INTERVAL_S:
            self._shown_s = elapsed_s
            say(f"  {elapsed_s:4.0f} s  {detail[:100]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_terminal:
            print("\r\x1b[K", end="")
        if kind is None:
            say(f"  done after {time.monotonic() - self._started_s:.1f} s")
