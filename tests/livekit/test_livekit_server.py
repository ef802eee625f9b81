"""A LiveKit server for one machine: reachable from nowhere else, gone without a trace."""

from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from launcher.errors import LaunchError
from launcher.livekit import LiveKitPorts, LiveKitServer, LiveKitServerOptions
from launcher.paths import Home

pytestmark = pytest.mark.livekit


def test_it_listens_on_loopback_only_and_leaves_nothing(livekit_options: LiveKitServerOptions) -> None:
    with LiveKitServer(replace(livekit_options, ports=LiveKitPorts.free())) as server:
        pids = [int(line.removeprefix("process ")) for line in server.leftovers() if line.startswith("process ")]
        addresses = {
            connection.laddr.ip
            for pid in pids
            for connection in psutil.Process(pid).net_connections("inet")
            if connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
        }
        assert addresses == {"127.0.0.1"}
    assert server.leftovers() == []
    assert server.exit_code() is not None


def test_one_that_does_not_start_is_told_with_its_log(livekit_options: LiveKitServerOptions, tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho no media today\nexit 3\n")
    program.chmod(0o755)
    ports = LiveKitPorts.free()
    server = LiveKitServer(replace(livekit_options, program=program, home=Home(tmp_path / "home"), ports=ports))
    with pytest.raises(LaunchError, match="LiveKit ended with status 3 before it was ready") as caught, server:
        pass
    assert "no media today" in str(caught.value)
    assert server.leftovers() == []


def test_a_busy_port_is_told_before_anything_starts(
    livekit_server: LiveKitServer, livekit_options: LiveKitServerOptions, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(LaunchError, match=r"port \d+ \(LiveKit, signalling\) on 127.0.0.1 cannot be listened on"):
        LiveKitServer(replace(livekit_options, home=home)).start()
    assert not home.root.exists()
