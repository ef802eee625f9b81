"""`orpheus bench`: many streams at once, and what their listeners had of it."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from orpheus_client._client import SpeechClient
from orpheus_client._options import SpeechOptions
from orpheus_client._retry import RetryPolicy
from orpheus_client.cli._exits import LOCAL, exit_code, fail, run
from orpheus_client.cli._figures import Figures, figures
from orpheus_client.cli._load import Outcome, closed_loop, measured, open_loop
from orpheus_client.cli._parameters import DEFAULT_URL, Language, MaxSeconds, Url, Voice, notes

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was asked of the server; one of `concurrency` and `arrivals_hz` is set."""

    concurrency: int | None
    arrivals_hz: float | None
    requests: int | None
    duration_s: float | None
    buffer_ms: float
    seed: int


def bench(
    *,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Keep so many streams running (1 by default).")] = None,
    rate: Annotated[float | None, typer.Option(help="Start so many a second instead, at random times.")] = None,
    requests: Annotated[int | None, typer.Option(min=1, help="End after so many streams.")] = None,
    duration: Annotated[float | None, typer.Option(help="Start none after so many seconds.")] = None,
    texts: Annotated[Path | None, typer.Option("--texts", "-f", help="A UTF-8 file with a text on each line.")] = None,
    buffer_ms: Annotated[float, typer.Option(min=0, help="Buffer of the simulated listener.")] = 60,
    voice: Voice = None,
    language: Language = None,
    max_seconds: MaxSeconds = None,
    trim_silence: Annotated[bool, typer.Option(help="Have the quiet opening left out.")] = False,
    seed: Annotated[int, typer.Option(help="Of the random times.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Put load on a server and measure what listeners get. Nothing is retried."""
    if concurrency is not None and rate is not None:
        raise typer.BadParameter("--concurrency and --rate are two kinds of load: give one")
    if rate is not None and rate <= 0:
        raise typer.BadParameter(f"--rate {rate:g}: give more than 0")
    load = Load(
        concurrency=None if rate else concurrency or 1,
        arrivals_hz=rate,
        requests=requests or (None if duration else 10 * (concurrency or 1)),
        duration_s=duration,
        buffer_ms=buffer_ms,
        seed=seed,
    )
    options = SpeechOptions(voice=voice, language=language, max_seconds=max_seconds, trim_silence=trim_silence)
    run(_bench(load, _lines(texts), options, url=url, json_file=json_file))


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


def _summary(result: Figures) -> str:
    errors = ", ".join(f"{count} {code}" for code, count in result.errors.items()) or "no errors"
    return (
        f"{result.spoken} of {result.requests} spoken in {result.wall_s:.1f} s, {errors}; {result.audio_s:.1f} s of "
        f"audio, {result.audio_s_per_s:.2f} x real time together; {result.stalls} stalls in "
        f"{result.streams_with_stalls} streams"
    )
