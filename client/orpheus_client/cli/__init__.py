"""The `orpheus` command."""

import typer

from orpheus_client.cli._bench import bench
from orpheus_client.cli._exits import EXITS
from orpheus_client.cli._say import say
from orpheus_client.cli._server import health, voices

__all__ = ["app", "main"]

app = typer.Typer(
    name="orpheus",
    help="Speech from a Triton server that serves orpheus_tts.",
    epilog=f"Exit codes: {', '.join(f'{code} {meaning}' for code, meaning in EXITS.items())}.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (say, voices, health, bench):
    app.command()(command)


def main() -> None:
    """Entry point of the `orpheus` command."""
    app()
