"""The phases of the language model's training: a trunk at a constant rate that can grow for ever, and a finish in which
the rate falls to nothing. A finish can start from any trunk; the trunk goes on from where it was."""

import itertools
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_voice.lm_data import Plan
from demo_voice.lm_loss import mean_of
from demo_voice.lm_training import BATCHES_PER_STEP, Training

SAVE_EACH_S = 120.0
REPORT_EACH_STEPS = 20
DEV_EACH_STEPS = 100
LAST_RATE = 0.02
LOSSES_FILE = "losses.jsonl"

Say = Callable[[str], None]


class Stopped(Exception):
    """Somebody asked for it; everything is saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One file of progress, and how its rate goes."""

    name: str
    steps: int
    """Where it ends; a trunk's end may be raised later."""
    falling: bool
    """Whether the rate falls to `LAST_RATE` over these steps, and every batch has the spectra."""
    first_rate: float = 1.0
    """Where a falling rate begins, as a share of the full one."""

    def scale(self, training: Training) -> float:
        """The share of the full rates for the next step."""
        if not self.falling:
            return min(1.0, (training.step + 1) / training.settings.warmup_steps)
        return self.first_rate - (self.first_rate - LAST_RATE) * training.step / self.steps


def run(training: Training, phase: Phase, folder: Path, *, say: Say) -> Path:
    """Trains until the phase ends, from where it was left; returns its checkpoint. Losses are added to `losses.jsonl`.

    Raises:
        Stopped: by SIGINT or SIGTERM, after the step at hand.
    """
    path = folder / f"{phase.name}.pt"
    if path.exists():
        training.load(path)
    reporter = _Reporter(training, phase, folder, say)
    stop, saved_s = _stop_signal(), time.monotonic()
    for plans in _until(training, phase):
        reporter.add(training.train(plans, phase.scale(training)), sum(plan.tokens for plan in plans))
        if stop.is_set() or time.monotonic() - saved_s > SAVE_EACH_S:
            training.save(path)
            saved_s = time.monotonic()
        if stop.is_set():
            raise Stopped(f"stopped at step {training.step}; the same command goes on from there")
    training.save(path)
    return path


def _stop_signal() -> threading.Event:
    """Set by SIGINT and SIGTERM: a step is finished and kept before the training ends."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _until(training: Training, phase: Phase) -> Iterator[tuple[Plan, ...]]:
    plans = training.batches(whole_only=phase.falling)
    while training.step < phase.steps:
        yield tuple(itertools.islice(plans, BATCHES_PER_STEP))


class _Reporter:
    """Tells and writes down how the losses go."""

    def __init__(self, training: Training, phase: Phase, folder: Path, say: Say) -> None:
        self._training, self._phase, self._folder, self._say = training, phase, folder, say
        self._recent: list[dict[str, float]] = []
        self._tokens = 0
        self._since_s = time.monotonic()

    def add(self, losses: dict[str, float], tokens: int) -> None:
        """After each step."""
        self._recent.append(losses)
        self._tokens += tokens
        if self._training.step % REPORT_EACH_STEPS == 0:
            speed = self._tokens / (time.monotonic() - self._since_s)
            self._tell("train", mean_of(self._recent), f", {speed:.0f} tokens/s")
            self._recent, self._tokens, self._since_s = [], 0, time.monotonic()
        if self._training.step % DEV_EACH_STEPS == 0:
            self._tell("dev", self._training.dev(), "")

    def _tell(self, which: str, losses: dict[str, float], speed: str) -> None:
        step, epoch = self._training.step, self._training.epoch
        line: dict[str, Any] = {"phase": self._phase.name, "step": step, "epoch": epoch, "set": which}
        line |= {name: round(value, 4) for name, value in losses.items()}
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / LOSSES_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        figures = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        self._say(f"{self._phase.name} {step} of {self._phase.steps} ({which}): {figures}{speed}")
