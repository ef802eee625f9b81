"""`orpheus-bridge voices`: what is done to stored voices by hand."""

import asyncio
from typing import Annotated

import typer

from orpheus_bridge.errors import BridgeError
from orpheus_bridge.settings import Settings, SettingsError
from orpheus_bridge.telemetry import log
from orpheus_bridge.voices.embedded import EmbeddedPostgres
from orpheus_bridge.voices.opened import opened_store
from orpheus_bridge.voices.options import DatabaseOptions, EmbeddedOptions, TranscriberOptions
from orpheus_bridge.voices.recording import RecordingReader
from orpheus_bridge.voices.resolve import Checkpoints
from orpheus_bridge.voices.transcribe import Proposal, WhisperTranscriber, propose
from orpheus_client import SpeechClient, SpeechError, Timeouts

FAILED = 1
PATIENCE_S = 300.0
"""For one recording: nobody waits for an answer here."""

ASK_S = 2.0
"""For the speech server's list of checkpoints."""

DEFAULT_MODEL = "tiny.en"

app = typer.Typer(name="voices", help="Stored voices.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Makes `voices` a group although it has one command so far."""


@app.command()
def transcribe(
    voice_ids: Annotated[
        list[str] | None, typer.Argument(metavar="VOICE_ID", help="Only these, again if a machine did it before.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A folder or package with weights for faster-whisper, or a name that it knows."),
    ] = None,
) -> None:
    """Propose transcripts for stored voices that have none. They are marked as machine-made; read them.

    The database is the one that the bridge would use. A transcript that a caller gave is never replaced.
    """
    log.configure(level="error", style="console")
    try:
        problems = asyncio.run(_transcribe(Settings.read(), tuple(voice_ids or ()), model))
    except (BridgeError, SettingsError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED) from None
    if problems:
        raise typer.Exit(FAILED)


async def _transcribe(settings: Settings, voice_ids: tuple[str, ...], model: str | None) -> int:
    """How many voices got none."""
    configured = settings.transcribing()
    name = model or (configured.model if configured else DEFAULT_MODEL)
    transcriber = WhisperTranscriber(TranscriberOptions(model=name, wall_s=PATIENCE_S, cpu_s=int(PATIENCE_S)))
    reader = RecordingReader(settings.uploads())
    checkpoints = await _loaded(settings.triton_url)
    problems = 0
    async with opened_store(_reachable(settings.database())) as (store, _):
        async for proposal in propose(store, reader, transcriber, voice_ids, checkpoints=checkpoints):
            typer.echo(_line(proposal))
            problems += proposal.problem is not None
    return problems


async def _loaded(url: str) -> Checkpoints:
    """What speaks from the transcripts, for their longest; nothing where no server answers."""
    async with SpeechClient(url, timeouts=Timeouts(connect_s=ASK_S)) as client:
        try:
            return await client.checkpoints()
        except SpeechError:
            return ()


def _reachable(database: DatabaseOptions | EmbeddedOptions) -> DatabaseOptions | EmbeddedOptions:
    """The embedded server itself while a bridge runs it."""
    if isinstance(database, EmbeddedOptions) and (embedded := EmbeddedPostgres(database)).is_running():
        return embedded.database
    return database


def _line(proposal: Proposal) -> str:
    if proposal.problem is not None:
        return f"{proposal.row.voice_id}: no transcript: {proposal.problem}"
    return f"{proposal.row.voice_id}: {proposal.transcript}"
