"""The first thing that a child does: it gives up what it does not need. Standard library only."""

import ctypes
import json
import resource
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1


def restricted(*, writes_files: bool = False) -> dict[str, Any]:
    """Takes the limits of the first argument upon this process; the second argument, the request."""
    limits = json.loads(sys.argv[1])
    bounds = {resource.RLIMIT_CPU: limits["cpu_s"], resource.RLIMIT_AS: limits["memory_bytes"], resource.RLIMIT_CORE: 0}
    if not writes_files:
        bounds[resource.RLIMIT_FSIZE] = 0
    for kind, bound in bounds.items():
        resource.setrlimit(kind, (bound, bound))
    # Nobody waits for an answer when the bridge is gone.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    request: dict[str, Any] = json.loads(sys.argv[2])
    return request


def answer(table: dict[str, Any], data: bytes = b"") -> None:
    """One line of JSON, then bytes."""
    sys.stdout.buffer.write(json.dumps(table).encode() + b"\n" + data)
    sys.stdout.buffer.flush()
