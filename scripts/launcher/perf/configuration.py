"""The named configurations: files of perf_analyzer's own flags, one on a line."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from launcher.errors import LaunchError
from launcher.paths import PERF_CONFIGURATIONS

SUFFIX = ".flags"
COUNT_FLAG = "--request-count"
MODEL_FLAG = "-m"

Mode = Literal["concurrency", "request_rate"]
"""Streams at once, or new ones a second; the names are perf_analyzer's."""

MODES: dict[str, Mode] = {"--concurrency-range": "concurrency", "--request-rate-range": "request_rate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One sweep."""

    name: str
    model: str
    mode: Mode
    levels: tuple[float, ...]
    request_count: int
    """For each level."""
    others: tuple[str, ...]
    """Every other flag, as it stands in the file."""

    def flags(self, level: float) -> list[str]:
        """What perf_analyzer gets for one level: with a number of requests it takes no more than one."""
        level_flag = next(flag for flag, mode in MODES.items() if mode == self.mode)
        return [*self.others, f"{level_flag}={level:g}", f"{COUNT_FLAG}={self.request_count}"]

    def changed(self, *, levels: Sequence[float] | None, request_count: int | None) -> "Configuration":
        """The same with other levels or another number of requests, where they are given.

        Raises:
            LaunchError: a level that cannot be, or fewer requests than are to run at once.
        """
        changed = replace(self, levels=tuple(levels or self.levels), request_count=request_count or self.request_count)
        _check(changed)
        return changed


def available() -> list[str]:
    """Names of the configurations."""
    return sorted(path.stem for path in PERF_CONFIGURATIONS.glob(f"*{SUFFIX}"))


def load(name: str) -> Configuration:
    """
    Raises:
        LaunchError: there is no such configuration (those there are are listed), or its file is wrong.
    """
    if name not in (names := available()):
        raise LaunchError(f"{name}: no such configuration; there are {', '.join(names)}")
    return read(PERF_CONFIGURATIONS / f"{name}{SUFFIX}")


def read(path: Path) -> Configuration:
    """
    Raises:
        LaunchError: no model, no number of requests, no level, levels of two kinds, or a level that cannot be.
    """
    flags = [
        flag for line in path.read_text(encoding="utf-8").splitlines() for flag in shlex.split(line, comments=True)
    ]
    levels = [(mode, value) for flag, mode in MODES.items() for value in _values(flags, flag)]
    counts = _values(flags, COUNT_FLAG)
    if len({mode for mode, _ in levels}) != 1 or len(counts) != 1 or MODEL_FLAG not in flags[:-1]:
        raise LaunchError(
            f"{path}: wants one {MODEL_FLAG}, one {COUNT_FLAG}=N, and lines of one of {', '.join(MODES)}=LEVEL"
        )
    ours = (*MODES, COUNT_FLAG)
    configuration = Configuration(
        name=path.stem,
        model=flags[flags.index(MODEL_FLAG) + 1],
        mode=levels[0][0],
        levels=tuple(_number(path, value) for _, value in levels),
        request_count=int(_number(path, counts[0])),
        others=tuple(flag for flag in flags if flag.partition("=")[0] not in ours),
    )
    _check(configuration)
    return configuration


def _values(flags: Sequence[str], name: str) -> list[str]:
    return [value for flag, _, value in (flag.partition("=") for flag in flags) if flag == name]


def _number(path: Path, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise LaunchError(f"{path}: {value!r} is no number: give one level on each line") from None


def _check(configuration: Configuration) -> None:
    for level in configuration.levels:
        if level <= 0:
            raise LaunchError(f"{configuration.name}: level {level:g}: give more than 0")
        if configuration.mode == "concurrency" and not level.is_integer():
            raise LaunchError(f"{configuration.name}: {level:g} streams at once: give a whole number")
        if configuration.mode == "concurrency" and level > configuration.request_count:
            raise LaunchError(
                f"{configuration.name}: {level:g} streams at once want as many requests, and it makes "
                f"{configuration.request_count}: give more with --requests"
            )
