"""`orpheus voices` and `orpheus health`: what a server has and how it is."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from orpheus_client._client import SpeechClient
from orpheus_client._options import SpeechOptions
from orpheus_client.cli._exits import NOT_READY, run
from orpheus_client.cli._parameters import DEFAULT_URL, Json, Url, print_json

PROBE_TEXT = "Hello."


def voices(*, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """List the voices that can be asked for by name."""
    run(_voices(url, as_json=as_json))


def health(
    *,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
    speak: Annotated[bool, typer.Option("--speak", help="Have it speak half a second.")] = False,
) -> None:
    """Say whether the server can speak; only then is the exit code 0."""
    run(_health(url, as_json=as_json, speak=speak))


async def _voices(url: str, *, as_json: bool) -> None:
    async with SpeechClient(url) as client:
        known = await client.voices()
    if as_json:
        print_json([asdict(voice) for voice in known])
        return
    table = Table("voice", "language", "checkpoint", "default")
    for voice in known:
        table.add_row(voice.name, voice.language, voice.checkpoint, "yes" if voice.is_default else "")
    Console().print(table)


async def _health(url: str, *, as_json: bool, speak: bool) -> None:
    async with SpeechClient(url) as client:
        state = asdict(await client.health())
        if speak and state["speaks"]:
            state["first_audio_ms"] = await _first_audio_ms(client)
    if as_json:
        print_json(state)
    else:
        for name, value in state.items():
            shown = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else f"{value:.0f}"
            typer.echo(f"{name}: {shown}")
    if not state["speaks"]:
        raise typer.Exit(NOT_READY)


async def _first_audio_ms(client: SpeechClient) -> float | None:
    async with client.speak(PROBE_TEXT, SpeechOptions(probe=True)) as stream:
        async for _ in stream:
            pass
        return stream.result.first_audio_ms
