"""Logs as events: a static name and fields, one JSON object a line.

Fields that may hold what somebody said, or who they are, are named `pii_...`; they are left out unless asked for.
"""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Literal

import structlog

LogFormat = Literal["json", "console"]

PII_PREFIX = "pii_"

SHOWN_FRAMES = 6
"""Of a traceback, the innermost."""

Event = MutableMapping[str, Any]
Logger = structlog.typing.FilteringBoundLogger


def configure(*, level: str = "info", style: LogFormat = "json", with_pii: bool = False) -> None:
    """Sets logging up for the process, uvicorn's included; called once, by whoever owns the process."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if with_pii else [without_pii]),
            *([structlog.dev.ConsoleRenderer()] if style == "console" else _json()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    _adopt_standard_logging(threshold)


def logger() -> Logger:
    """The logger of the process."""
    made: Logger = structlog.get_logger()
    return made


def without_pii(_logger: object, _method: str, event: Event) -> Event:
    """Leaves out the fields marked as PII."""
    return {key: value for key, value in event.items() if not key.startswith(PII_PREFIX)}


def _json() -> list[structlog.typing.Processor]:
    # Only the kind of an exception: its message and its frames may hold what was to be said.
    return [_kind_of_exception, structlog.processors.JSONRenderer()]


def _kind_of_exception(_logger: object, _method: str, event: Event) -> Event:
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        event.update(_traced(error))
    return event


def _traced(error: BaseException) -> dict[str, object]:
    """What went wrong and where, without a word of what was being worked on."""
    frames = traceback.extract_tb(error.__traceback__)[-SHOWN_FRAMES:]
    return {"error": type(error).__name__, "at": [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]}


class _ToStructlog(logging.Handler):
    """Lines of libraries, as events."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = _traced(record.exc_info[1]) if record.exc_info and record.exc_info[1] else {}
        # Some log a whole traceback as their message: its last line says what it was.
        message = record.getMessage().strip().rpartition("\n")[2]
        logger().log(record.levelno, "library_message", library=record.name, message=message, **fields)


def _adopt_standard_logging(threshold: int) -> None:
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    root.setLevel(max(threshold, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = name != "uvicorn.access"
