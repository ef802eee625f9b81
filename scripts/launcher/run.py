"""scripts/run and scripts/render_repository."""

import argparse
import os
import sys
import time
from pathlib import Path

from launcher.artefacts import Workshop
from launcher.bridge import BridgeServer
from launcher.card import check_memory
from launcher.commands import say
from launcher.environments import SERVER_CPU, SERVER_GPU, server_environment
from launcher.errors import LaunchError
from launcher.neighbours import StartTimes, beside
from launcher.paths import Home, make_folder
from launcher.ports import Ports, check_port_free
from launcher.profile import Profile, load
from launcher.render import render
from launcher.report import Waiting, show_sample, show_settings
from launcher.sample import Sample, speak
from launcher.server import ServerOptions, TritonServer
from launcher.server_environment import ServerEnvironment
from launcher.settings import settle
from launcher.triton_flags import TritonFlags

WARMUP_TEXT = "Ready to speak."
DEATH_CHECK_INTERVAL_S = 1.0
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_TOKEN": ""}
"""For a server: everything was fetched before it starts."""
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
    profile = settled_profile(options.profile)
    _refuse_plan(profile)
    environment = server_environment_of(profile, home)
    # One folder for each server that can run beside others: what one serves, no other start replaces.
    repository = home.repositories / f"{Path(options.profile).stem}-{ports.grpc}"
    flags = _render(profile, environment, home, out=repository, allow_more=options.allow_more_memory)
    server = TritonServer(
        ServerOptions(
            repository=repository, environment=environment, home=home, flags=flags, ports=ports, host=options.host,
            variables=OFFLINE, ready_timeout_s=profile.ready_timeout_s,
        )
    )  # fmt: skip
    try:
        server.start()
        with Waiting("Triton loads its models") as waiting:
            model_load_s = server.wait_ready(waiting.show)
        first = _speak(server, profile, options, out)
        if has_bridge:
            times = StartTimes(model_load_s=model_load_s, warmup_s=first.wall_s)
            with beside(server, options, home, times, max_streams=profile.streams.rated) as bridge:
                _serve(server, bridge)
        elif not options.once:
            _serve(server)
    finally:
        server.stop()
    return 0


def _refuse_plan(profile: Profile) -> None:
    if profile.codec.plan:
        raise LaunchError(
            "codec.plan: this start's own Triton has no TensorRT backend: render the repository with "
            "scripts/render_repository and serve it in NVIDIA's container, or leave the plan out"
        )


def render_only(options: argparse.Namespace, home: Home) -> int:
    """A complete repository for any Triton; its flags go to standard output."""
    profile = settled_profile(options.profile)
    environment = server_environment_of(profile, home)
    flags = _render(profile, environment, home, out=options.out, allow_more=options.allow_more_memory)
    say(f"\nRepository: {options.out.resolve()}\nServe it with:")
    say(
        "\n".join(
            [f"  tritonserver --model-repository={options.out.resolve()}", *(f"    {f}" for f in flags.portable())]
        )
    )
    return 0


def settled_profile(name: str) -> Profile:
    """The profile with the environment applied; every setting is shown.

    Raises:
        LaunchError: it says something that cannot be.
    """
    settled = settle(load(name), os.environ)
    show_settings(name, settled)
    return settled.profile


def server_environment_of(profile: Profile, home: Home) -> ServerEnvironment:
    """The environment that serves the profile's device, made if need be."""
    recipe = SERVER_GPU if profile.device == "gpu" else SERVER_CPU
    return ServerEnvironment.at(server_environment(home, recipe, os.environ))


def _render(
    profile: Profile, environment: ServerEnvironment, home: Home, *, out: Path, allow_more: bool
) -> TritonFlags:
    home.make()
    say("Models")
    artefacts = Workshop(home, environment).prepare(profile)
    check_memory(profile, artefacts, allow_more=allow_more)
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


def _speak(server: TritonServer, profile: Profile, options: argparse.Namespace, out: Path) -> Sample:
    """What came of the very first sentence."""
    first = None
    if profile.warmup:
        with Waiting("warm-up: one sentence through the whole chain"):
            first = speak(server.grpc_url, WARMUP_TEXT, voice=options.voice, out=None)
    shown = speak(server.grpc_url, options.text, voice=options.voice, out=out)
    show_sample(shown)
    return first or shown


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
