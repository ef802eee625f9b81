"""`orpheus bench`: many streams at once, and what their listeners had of it."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from orpheus_client._client import SpeechClient
from orpheus_client._errors import SpeechError
from orpheus_client._options import SpeechOptions
from orpheus_client._retry import RetryPolicy
from orpheus_client.cli._exits import LOCAL, exit_code, fail, run
from orpheus_client.cli._figures import Figures, figures
from orpheus_client.cli._load import Outcome, closed_loop, measured, open_loop
from orpheus_client.cli._parameters import DEFAULT_URL, Language, MaxSeconds, Url, Voice, notes
from orpheus_client.cli._sweep import Limits, Sweep, sweep

SENTENCES = (
    "Good morning, how can I help you today?",
    "Your parcel left the depot an hour ago and should be with you before noon.",
    "I am sorry, I did not catch that.",
    "The train to the coast leaves from platform four, and it is running on time.",
    "Would you like me to read the whole message, or only the first lines?",
    "Please hold on for a moment while I look it up.",
    "There are three free tables tonight, the earliest of them at half past six.",
    "That is a good question.",
    "Tomorrow will be mostly dry, with a light wind from the west and some sun in the afternoon.",
    "I have put it on your list.",
)
"""Spoken in turn where no file is given: the lengths of an assistant's answers."""

SWEEP_RATE_DURATION_S = 60.0
"""Of each rate of a sweep, unless told otherwise: long enough for a queue that grows to be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was asked of the server; one of `concurrency` and `arrivals_hz` is set."""

    concurrency: int | None
    arrivals_hz: float | None
    requests: int | None
    duration_s: float | None
    buffer_ms: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where the curve goes."""

    json: Path | None
    plot: Path | None

    def try_out(self) -> None:
        """Finds out now, and not when the load is over, that a file cannot be written."""
        for file in (self.json, self.plot):
            if file:
                _write(file, "")

    def write(self, load: Load, result: Sweep) -> None:
        if self.json:
            # Each point has its own rate.
            common = {name: value for name, value in asdict(load).items() if name != "arrivals_hz"}
            _write(self.json, json.dumps({"load": common, **result.as_json()}, indent=2) + "\n")
        if self.plot:
            _write(self.plot, result.as_svg())


def bench(
    *,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Keep so many streams running (1 by default).")] = None,
    rate: Annotated[
        list[float] | None,
        typer.Option(
            help="Start so many a second instead, at random times. Given several times: one rate after another, up to "
            "the first that breaks a limit."
        ),
    ] = None,
    requests: Annotated[int | None, typer.Option(min=1, help="End after so many streams, at each rate.")] = None,
    duration: Annotated[
        float | None, typer.Option(help="Start none after so many seconds, at each rate; 60 if there are several.")
    ] = None,
    max_first_audio_ms: Annotated[
        float, typer.Option(min=0, help="Limit of the 99th percentile, for several rates.")
    ] = 500,
    max_stalled_percent: Annotated[
        float, typer.Option(min=0, help="Limit of the time without sound in speech, for several rates.")
    ] = 0.1,
    texts: Annotated[Path | None, typer.Option("--texts", "-f", help="A UTF-8 file with a text on each line.")] = None,
    buffer_ms: Annotated[float, typer.Option(min=0, help="Buffer of the simulated listener.")] = 60,
    voice: Voice = None,
    language: Language = None,
    max_seconds: MaxSeconds = None,
    trim_silence: Annotated[bool, typer.Option(help="Have the quiet opening left out.")] = False,
    seed: Annotated[int, typer.Option(help="Of the random times.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Draw the curve of several rates into this SVG file.")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Put load on a server and measure what listeners get; at several rates, find the highest that it bears.

    Nothing is retried.
    """
    rates = rate or []
    _check(concurrency, rates, plot_file)
    is_sweep = len(rates) > 1
    if is_sweep and not (requests or duration):
        duration = SWEEP_RATE_DURATION_S
    load = Load(
        concurrency=None if rates else concurrency or 1,
        arrivals_hz=rates[0] if rates else None,
        requests=requests or (None if duration else 10 * (concurrency or 1)),
        duration_s=duration,
        buffer_ms=buffer_ms,
        seed=seed,
    )
    options = SpeechOptions(voice=voice, language=language, max_seconds=max_seconds, trim_silence=trim_silence)
    if is_sweep:
        limits = Limits(first_audio_ms=max_first_audio_ms, stalled_percent=max_stalled_percent)
        files = Files(json=json_file, plot=plot_file)
        run(_rated(load, rates, limits, _lines(texts), options, url=url, files=files))
    else:
        run(_bench(load, _lines(texts), options, url=url, json_file=json_file))


def _check(concurrency: int | None, rates: Sequence[float], plot_file: Path | None) -> None:
    if concurrency is not None and rates:
        raise typer.BadParameter("--concurrency and --rate are two kinds of load: give one")
    if wrong := [rate for rate in rates if rate <= 0]:
        raise typer.BadParameter(f"--rate {wrong[0]:g}: give more than 0")
    if plot_file and len(rates) < 2:
        raise typer.BadParameter("--plot draws a curve: give --rate more than once")


def _lines(file: Path | None) -> tuple[str, ...]:
    if file is None:
        return SENTENCES
    try:
        lines = tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file}: {error}") from None
    if not lines:
        raise typer.BadParameter(f"{file}: no text in it: write one on each line")
    return lines


async def _bench(
    load: Load, texts: tuple[str, ...], options: SpeechOptions, *, url: str, json_file: Path | None
) -> None:
    loop = asyncio.get_running_loop()
    if json_file:
        # Found out now and not when the load is over.
        _write(json_file, "")
    async with SpeechClient(url, retry=RetryPolicy(max_attempts=1)) as client:
        # A server that is not there is one sentence and not many failed requests.
        await client.health()
        started_at = loop.time()
        outcomes = await _put(load, _turns(load, texts), client, options)
        result = figures(outcomes, wall_s=loop.time() - started_at)
    if json_file:
        _write(json_file, json.dumps({"load": asdict(load), **asdict(result)}, indent=2) + "\n")
    Console().print(_table(result))
    typer.echo(_summary(result))
    if not result.spoken:
        failure = next((o.failure for o in outcomes if o.failure), None)
        fail(f"nothing was spoken: {failure or 'no request was made'}", exit_code(failure) if failure else LOCAL)


async def _rated(
    load: Load,
    rates_hz: Sequence[float],
    limits: Limits,
    texts: tuple[str, ...],
    options: SpeechOptions,
    *,
    url: str,
    files: Files,
) -> None:
    loop = asyncio.get_running_loop()
    files.try_out()
    failures: list[SpeechError] = []
    async with SpeechClient(url, retry=RetryPolicy(max_attempts=1)) as client:
        await client.health()

        async def put(rate_hz: float) -> Figures:
            now = replace(load, arrivals_hz=rate_hz)
            started_at = loop.time()
            outcomes = await _put(now, _turns(now, texts), client, options)
            failures.extend(o.failure for o in outcomes if o.failure)
            result = figures(outcomes, wall_s=loop.time() - started_at)
            typer.echo(f"{rate_hz:g} a second: {_summary(result)}")
            return result

        result = await sweep(put, rates_hz, limits)
    files.write(load, result)
    Console().print(_curve_table(result))
    typer.echo(_verdict(result))
    if not any(point.result.spoken for point in result.points):
        failure = failures[0] if failures else None
        fail(f"nothing was spoken: {failure or 'no request was made'}", exit_code(failure) if failure else LOCAL)


def _write(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")


def _turns(load: Load, texts: tuple[str, ...]) -> Iterator[str]:
    """The texts over and over, until there were enough of them or the time is up."""
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    for made, text in enumerate(cycle(texts)):
        in_time = load.duration_s is None or loop.time() - started_at < load.duration_s
        if made == load.requests or not in_time:
            return
        yield text


async def _put(load: Load, turns: Iterator[str], client: SpeechClient, options: SpeechOptions) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with _progress() as progress:
        bar = progress.add_task("", total=load.requests)

        def note(outcome: Outcome) -> None:
            outcomes.append(outcome)
            failed = sum(o.error is not None for o in outcomes)
            progress.update(bar, advance=1, description=f"{len(outcomes) - failed} spoken, {failed} failed")

        async def request(text: str) -> None:
            note(await measured(client, text, options, buffer_ms=load.buffer_ms))

        if load.concurrency is not None:
            await closed_loop(request, turns, concurrency=load.concurrency)
        if load.arrivals_hz is not None:
            refused = partial(note, Outcome(refused=True))
            await open_loop(request, turns, arrivals_hz=load.arrivals_hz, seed=load.seed, refused=refused)
    return outcomes


def _progress() -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = notes()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _table(result: Figures) -> Table:
    table = Table("per stream", *(Column(name, justify="right") for name in ("p50", "p95", "p99", "max")))
    for name, spread, digits in (
        ("first audio, ms", result.first_audio_ms, 0),
        ("first audible, ms", result.first_audible_ms, 0),
        ("real-time factor", result.real_time_factor, 3),
        ("stalled, ms", result.stalled_ms, 0),
    ):
        table.add_row(name, *("" if v is None else f"{v:.{digits}f}" for v in astuple(spread)))
    return table


def _curve_table(result: Sweep) -> Table:
    names = ("p50, ms", "p95, ms", "p99, ms", "stalled, %", "spoken")
    table = Table("new streams a second", *(Column(name, justify="right") for name in names), "limit broken")
    for point in result.points:
        first = point.result.first_audio_ms
        table.add_row(
            f"{point.arrivals_hz:g}",
            *("" if value is None else f"{value:.0f}" for value in (first.p50, first.p95, first.p99)),
            f"{point.result.stalled_percent:.2f}",
            f"{point.result.spoken} of {point.result.requests}",
            "; ".join(point.broken),
        )
    return table


def _verdict(result: Sweep) -> str:
    limits = f"p99 of first audio {result.limits.first_audio_ms:g} ms, stalled {result.limits.stalled_percent:g} %"
    if result.rated_hz is None:
        return f"Rated load: none of these rates ({limits}, every stream spoken)"
    more = "" if result.points[-1].broken else "; the highest that was tried, so it may be more"
    return f"Rated load: {result.rated_hz:g} new streams a second ({limits}, every stream spoken){more}"


def _summary(result: Figures) -> str:
    errors = ", ".join(f"{count} {code}" for code, count in result.errors.items()) or "no errors"
    return (
        f"{result.spoken} of {result.requests} spoken in {result.wall_s:.1f} s, {errors}; {result.audio_s:.1f} s of "
        f"audio, {result.audio_s_per_s:.2f} x real time together; {result.stalls} stalls in "
        f"{result.streams_with_stalls} streams"
    )
