"""What runs beside Triton, so that speech can be had over HTTP and in rooms: the bridge, and a LiveKit server."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from launcher.bridge import BridgeOptions, BridgeServer
from launcher.commands import say
from launcher.livekit import LiveKitPorts, LiveKitServer, LiveKitServerOptions, find_livekit
from launcher.paths import Home
from launcher.server import TritonServer

CONFIGURED = ("LIVEKIT_URL", "ORCHESTRATOR_URL")
"""With one of these set, rooms are somebody else's LiveKit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTimes:
    """How long Triton's start took."""

    model_load_s: float
    """From its start to ready."""
    warmup_s: float
    """Its first sentence."""


@contextmanager
def beside(
    server: TritonServer, options: argparse.Namespace, home: Home, times: StartTimes, *, max_streams: int
) -> Iterator[BridgeServer]:
    """The bridge, as long as the context lasts; a LiveKit server too, unless one is configured or none is found.

    Args:
        max_streams: that Triton is rated for.

    Raises:
        LaunchError: one of them does not start.
    """
    with contextlib.ExitStack() as running:
        livekit = _livekit(home)
        if livekit:
            running.enter_context(livekit)
            key, secret = livekit.variables["LIVEKIT_API_KEY"], livekit.variables["LIVEKIT_API_SECRET"]
            say(f"LiveKit {livekit.url}, key {key}, secret {secret} (for this run)")
        given = BridgeOptions(
            home=home,
            triton_url=server.grpc_url,
            triton_metrics_url=server.metrics_url,
            host=options.host,
            port=options.bridge_port,
            model_load_s=times.model_load_s,
            warmup_s=times.warmup_s,
            max_streams=max_streams,
            variables=livekit.variables if livekit else {},
        )
        yield running.enter_context(BridgeServer(given))


def _livekit(home: Home) -> LiveKitServer | None:
    if any(os.environ.get(name) for name in CONFIGURED):
        return None
    program = find_livekit(os.environ)
    if program is None:
        say(f"No LiveKit: set {CONFIGURED[0]}, or put livekit-server on PATH, to speak into rooms")
        return None
    return LiveKitServer(LiveKitServerOptions(program=program, home=home, ports=LiveKitPorts.usual_or_free()))
