"""scripts/run and scripts/render_repository."""

import argparse
import os
import sys
import time
from pathlib import Path

from launcher.artefacts import Workshop
from launcher.bridge import BridgeServer
from launcher.commands import say
from launcher.environments import SERVER_CPU, SERVER_GPU, server_environment
from launcher.errors import LaunchError
from launcher.neighbours import beside
from launcher.paths import Home, make_folder
from launcher.ports import Ports, check_port_free
from launcher.profile import Profile, load
from launcher.render import render
from launcher.report import Waiting, show_sample, show_settings
from launcher.sample import speak
from launcher.server import ServerOptions, TritonServer
from launcher.server_environment import ServerEnvironment
from launcher.settings import settle
from launcher.triton_flags import TritonFlags

WARMUP_TEXT = "Ready to speak."
DEATH_CHECK_INTERVAL_S = 1.0
EXAMPLE = """  curl -s {url}/v1/audio/speech -H 'Content-Type: application/json' -o speech.wav \\
    -d '{{"model": "orpheus", "voice": "tara", "input": "Hello there.", "response_format": "wav"}}'"""


def run(options: argparse.Namespace, home: Home) -> int:
    """Everything from nothing to a serving server; until Ctrl-C, or to the end of one sentence."""
    ports = _ports(options)
    ports.check_free(options.host)
    has_bridge = not (options.once or options.no_bridge)
    if has_bridge:
        ports.check_apart(options.bridge_port, name="bridge")
        check_port_free(options.host, options.bridge_port, name="bridge")
    out = _sound_file(options.out or home.root / "speech.wav")
    profile = _settled(options.profile)
    environment = _environment(profile, home)
    # One folder for each server that can run beside others: what one serves, no other start replaces.
    repository = home.repositories / f"{Path(options.profile).stem}-{ports.grpc}"
    flags = _render(profile, environment, home, out=repository)
    server = TritonServer(
        ServerOptions(
            repository=repository,
            environment=environment,
            home=home,
            flags=flags,
            ports=ports,
            host=options.host,
            variables={"HF_HUB_OFFLINE": "1", "HF_TOKEN": ""},
            ready_timeout_s=profile.ready_timeout_s,
        )
    )
    try:
        server.start()
        with Waiting("Triton loads its models") as waiting:
            server.wait_ready(waiting.show)
        _speak(server, profile, options, out)
        if has_bridge:
            with beside(server, options, home) as bridge:
                _serve(server, bridge)
        elif not options.once:
            _serve(server)
    finally:
        server.stop()
    return 0


def render_only(options: argparse.Namespace, home: Home) -> int:
    """A complete repository for any Triton; its flags go to standard output."""
    profile = _settled(options.profile)
    flags = _render(profile, _environment(profile, home), home, out=options.out)
    say(f"\nRepository: {options.out.resolve()}\nServe it with:")
    say(
        "\n".join(
            [f"  tritonserver --model-repository={options.out.resolve()}", *(f"    {f}" for f in flags.portable())]
        )
    )
    return 0


def _settled(name: str) -> Profile:
    settled = settle(load(name), os.environ)
    show_settings(name, settled)
    return settled.profile


def _environment(profile: Profile, home: Home) -> ServerEnvironment:
    recipe = SERVER_GPU if profile.device == "gpu" else SERVER_CPU
    return ServerEnvironment.at(server_environment(home, recipe, os.environ))


def _render(profile: Profile, environment: ServerEnvironment, home: Home, *, out: Path) -> TritonFlags:
    home.make()
    say("Models")
    artefacts = Workshop(home, environment).prepare(profile)
    return render(profile, artefacts, out)


def _ports(options: argparse.Namespace) -> Ports:
    following = Ports.from_grpc(options.port)
    return Ports(
        grpc=options.port,
        metrics=following.metrics if options.metrics_port is None else options.metrics_port,
        http=following.http if options.http_port is None else options.http_port,
    )


def _sound_file(path: Path) -> Path:
    """The file, absolute, which can be written once there is something to write."""
    out = path.expanduser().resolve()
    make_folder(out.parent)
    if out.is_dir() or (out.exists() and not os.access(out, os.W_OK)):
        raise LaunchError(f"{out} is a folder, or cannot be written: name another file with --out")
    return out


def _speak(server: TritonServer, profile: Profile, options: argparse.Namespace, out: Path) -> None:
    if profile.warmup:
        with Waiting("warm-up: one sentence through the whole chain"):
            speak(server.grpc_url, WARMUP_TEXT, voice=options.voice, out=None)
    show_sample(speak(server.grpc_url, options.text, voice=options.voice, out=out))


def _serve(server: TritonServer, bridge: BridgeServer | None = None) -> None:
    """Until Ctrl-C.

    Raises:
        LaunchError: one of them died.
    """
    servers: list[TritonServer | BridgeServer] = [server, bridge] if bridge else [server]
    try:
        _show_addresses(server, bridge)
        while all(each.exit_code() is None for each in servers):
            time.sleep(DEATH_CHECK_INTERVAL_S)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        say("Ending ...")
        return
    raise LaunchError(next(each.death_notice() for each in servers if each.exit_code() is not None))


def _show_addresses(server: TritonServer, bridge: BridgeServer | None) -> None:
    say(f"Serving. gRPC {server.grpc_url}, metrics {server.metrics_url}, HTTP {server.http_url}; log {server.log_path}")
    if bridge:
        say(f"Bridge {bridge.url}; log {bridge.log_path}. Try:\n{EXAMPLE.format(url=bridge.url)}")
    say("Ctrl-C ends it.")
