"""Parameters that several commands share."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console

Url = Annotated[str, typer.Option(envvar="ORPHEUS_URL", help="host:port of Triton's gRPC.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Voice = Annotated[str | None, typer.Option(help="A voice of `orpheus voices`.")]
Language = Annotated[str | None, typer.Option(help="Such as en or de-CH.")]
Temperature = Annotated[float | None, typer.Option(help="0.1 to 1.5.")]
TopP = Annotated[float | None, typer.Option(help="0.05 to 1.")]
RepetitionPenalty = Annotated[float | None, typer.Option(help="1 to 2.")]
MaxSeconds = Annotated[float | None, typer.Option(help="At most so much speech for each piece of text, 0.2 to 60.")]

DEFAULT_URL = "127.0.0.1:8001"


def notes() -> Console:
    """Where progress and remarks go: stderr, so that stdout carries only what was asked for."""
    return Console(stderr=True, highlight=False, markup=False)


def print_json(value: Any) -> None:
    """One line of JSON on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False))
