"""How the command ends."""

import asyncio
from collections.abc import Coroutine, Mapping
from types import MappingProxyType
from typing import Any

import typer

from orpheus_client._errors import Busy, InvalidInput, SpeechError, SpeechTimeout, Unavailable

EXITS: Mapping[int, str] = MappingProxyType(
    {
        0: "done",
        1: "this machine's fault (a file, a loudspeaker)",
        2: "bad input",
        3: "server busy",
        4: "server down or not ready",
        5: "too slow",
        6: "the server's fault",
        130: "interrupted",
    }
)
LOCAL, SERVER_FAULT, NOT_READY, INTERRUPTED = 1, 6, 4, 130

_BY_ERROR: Mapping[type[SpeechError], int] = MappingProxyType(
    {InvalidInput: 2, Busy: 3, Unavailable: NOT_READY, SpeechTimeout: 5}
)


def exit_code(error: SpeechError) -> int:
    """The exit code for an error of the client's tree."""
    return next((code for kind, code in _BY_ERROR.items() if isinstance(error, kind)), SERVER_FAULT)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Runs a command's work; failures end the process with one sentence and their exit code.

    Ctrl-C cancels the work, and with it whatever the server is doing for it.
    """
    try:
        asyncio.run(work)
    except SpeechError as error:
        fail(str(error), exit_code(error))
    except OSError as error:
        fail(_sentence(error), LOCAL)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def fail(sentence: str, code: int) -> None:
    """Says why on stderr and ends with `code`."""
    typer.echo(f"orpheus: {sentence}", err=True)
    raise typer.Exit(code) from None


def _sentence(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
