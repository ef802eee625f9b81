"""What stops a start, and how it is told."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType


class LaunchError(Exception):
    """A sentence for whoever runs the command: it names the thing, the value got and the fix. No trace is shown."""


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Ends the process with a sentence instead of a trace; SIGTERM and SIGHUP end it in order, as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        yield
    except LaunchError as error:
        _end(str(error), status=1)
    except KeyboardInterrupt:
        _end("interrupted", status=128 + signal.SIGINT)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        _end(f"{named}{error.strerror or error}", status=1)


def _end(sentence: str, *, status: int) -> None:
    sys.stdout.flush()
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(status)


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
