"""What perf_analyzer's profile export says of each request: when it was sent, and when each response came."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.errors import LaunchError


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, in nanoseconds of perf_analyzer's clock."""

    sent_ns: int
    arrived_ns: tuple[int, ...]
    """Of its responses, in order; at least one."""


def read_export(path: Path) -> list[Exchange]:
    """The exchanges of all levels that the file holds. What was sent and answered is passed over.

    The file holds the responses' bytes as they are, so it is no valid UTF-8.

    Raises:
        LaunchError: it is not there, or not what perf_analyzer writes.
    """
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
        document = json.loads(text, strict=False)
        requests = [request for experiment in document["experiments"] for request in experiment["requests"]]
        return [_exchange(request) for request in requests if request["response_timestamps"]]
    except OSError as error:
        raise LaunchError(f"{path}: perf_analyzer wrote no profile export ({error.strerror})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise LaunchError(f"{path}: is no profile export of perf_analyzer ({type(error).__name__}: {error})") from None


def _exchange(request: dict[str, Any]) -> Exchange:
    return Exchange(int(request["timestamp"]), tuple(sorted(map(int, request["response_timestamps"]))))
