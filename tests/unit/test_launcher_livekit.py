"""How the LiveKit server of this machine is found."""

import socket
from pathlib import Path

import pytest

from launcher.errors import LaunchError
from launcher.livekit import LiveKitPorts, LiveKitServerOptions, find_livekit
from launcher.paths import Home

pytestmark = pytest.mark.unit


def program(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_it_is_found_on_the_path(tmp_path: Path) -> None:
    there = program(tmp_path, "livekit-server")
    assert find_livekit({"PATH": f"/nowhere:{tmp_path}"}) == there
    assert find_livekit({"PATH": "/nowhere"}) is None


def test_the_variable_beats_the_path(tmp_path: Path) -> None:
    program(tmp_path, "livekit-server")
    other = program(tmp_path, "another")
    assert find_livekit({"PATH": str(tmp_path), "LIVEKIT_SERVER": str(other)}) == other


def test_a_variable_that_names_nothing_is_told(tmp_path: Path) -> None:
    program(tmp_path, "livekit-server")
    with pytest.raises(LaunchError, match=r"LIVEKIT_SERVER: /nowhere/livekit: no such program: give the path"):
        find_livekit({"PATH": str(tmp_path), "LIVEKIT_SERVER": "/nowhere/livekit"})


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_second_server_takes_other_ports_if_only_one_of_them_is_taken(
    kind: socket.SocketKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = LiveKitPorts.free()
    monkeypatch.setattr(LiveKitPorts.__init__, "__kwdefaults__", {"http": usual.http, "udp": usual.udp})
    assert LiveKitPorts.usual_or_free() == usual
    with socket.socket(type=kind) as other:
        other.bind(("127.0.0.1", usual.http if kind == socket.SOCK_STREAM else usual.udp))
        if kind == socket.SOCK_STREAM:
            other.listen()
        found = LiveKitPorts.usual_or_free()
    assert usual.http != found.http
    assert usual.udp != found.udp
    found.check_free()


def test_every_server_has_a_secret_of_its_own(tmp_path: Path) -> None:
    first, second = (LiveKitServerOptions(program=tmp_path, home=Home(tmp_path)) for _ in range(2))
    assert first.secret != second.secret
    assert len(first.secret) >= 32
    assert first.secret not in repr(first)
