"""The `orpheus-bridge` command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from orpheus_bridge import documents, voices_command
from orpheus_bridge.app import create_app
from orpheus_bridge.keys import hash_of, new_key
from orpheus_bridge.runtime import services
from orpheus_bridge.server import server
from orpheus_bridge.settings import Settings, SettingsError, variables
from orpheus_bridge.telemetry import log

FAILED = 1

app = typer.Typer(
    name="orpheus-bridge",
    help="HTTP in, speech out, as bytes or into LiveKit rooms. Without a command it serves.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(voices_command.app)


@app.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        serve()


@app.command()
def serve() -> None:
    """Serve until SIGTERM or Ctrl-C; then running speech ends first. Settings come from the environment."""
    settings = _settings()
    log.configure(level=settings.log_level, style=settings.log_format, with_pii=settings.log_pii)
    settings.report()
    application = create_app(lambda: services(settings))
    serving = server(application, host=settings.host, port=settings.port, drain_s=settings.drain_s)
    serving.run()
    if not serving.started:
        raise typer.Exit(FAILED)


@app.command()
def key() -> None:
    """Make an access key. The key goes to its user, the hash into ORPHEUS_API_KEYS or the table of keys."""
    made = new_key()
    typer.echo(f"key   {made}\nhash  {hash_of(made)}")


@app.command("settings")
def show_settings() -> None:
    """Show every setting with its value and where that comes from."""
    for variable in variables(_settings()):
        typer.echo(f"{variable.name}={variable.value}  ({variable.origin})")


@app.command("docs")
def write_docs(folder: Annotated[Path, typer.Argument(help="Where api.md and configuration.md go.")]) -> None:
    """Write the pages that are made from the code."""
    for name, page in documents.pages().items():
        (folder / name).write_text(page)
        typer.echo(folder / name)


def main() -> None:
    """Entry point of the command."""
    app()


def _settings() -> Settings:
    try:
        return Settings.read()
    except SettingsError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
