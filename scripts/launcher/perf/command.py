"""scripts/perf."""

import argparse
import os
import time
from pathlib import Path

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from launcher.commands import say
from launcher.errors import LaunchError
from launcher.paths import Home, make_folder
from launcher.perf.analyzer import Analyzer, find_analyzer
from launcher.perf.configuration import Configuration, load
from launcher.perf.export import read_export
from launcher.perf.figures import Level, level_figures
from launcher.perf.report import LEVELS, table, write_report

ANSWER_TIMEOUT_S = 10.0
EXPORT_FILE, LOG_FILE = "export.json", "perf_analyzer.log"


def perf(options: argparse.Namespace, home: Home) -> int:
    """Measures every level of a configuration and writes the figures."""
    configuration = load(options.configuration).changed(levels=options.levels, request_count=options.requests)
    require_ready(options.address, configuration.model)
    analyzer = find_analyzer(home, os.environ)
    version = analyzer.version()
    folder = _folder(options.out or home.root / "perf" / f"{configuration.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    say(f"{configuration.name}: {configuration.model} on {options.address}, {version}")
    measured = []
    for level in configuration.levels:
        measured.append(_measure(analyzer, configuration, level, options, folder))
        # After each level: what is measured stays, whatever becomes of the next one.
        write_report(folder, configuration, version, measured)
    say(table(measured))
    say(f"Written to {folder}")
    return 0


def require_ready(address: str, model: str) -> None:
    """
    Raises:
        LaunchError: there is no server at `address` (`host:port`), or the model is not ready on it.
    """
    client = InferenceServerClient(address)
    try:
        if not client.is_server_ready(client_timeout=ANSWER_TIMEOUT_S):
            raise LaunchError(
                f"the server at {address} is not ready yet: try again when scripts/run says that it serves"
            )
        if not client.is_model_ready(model, client_timeout=ANSWER_TIMEOUT_S):
            raise LaunchError(f"the server at {address} has no model {model} that is ready: its log says why")
    except InferenceServerException as error:
        raise LaunchError(
            f"no Triton answers at {address} ({error.message()}): start one with scripts/run, or name it with --address"
        ) from None
    finally:
        client.close()


def _folder(path: Path) -> Path:
    folder = path.expanduser().resolve()
    make_folder(folder)
    return folder


def _measure(
    analyzer: Analyzer, configuration: Configuration, level: float, options: argparse.Namespace, folder: Path
) -> Level:
    title = f"{level:g} {LEVELS[configuration.mode]}"
    say(f"  {title}, {configuration.request_count} requests ...")
    export = folder / EXPORT_FILE
    flags = [*configuration.flags(level), "-u", options.address, "--profile-export-file", str(export)]
    try:
        output = analyzer.measure(flags, timeout_s=options.timeout)
        exchanges = read_export(export)
    except LaunchError as error:
        raise LaunchError(f"{configuration.name}, {title}: {error}") from None
    finally:
        # It holds every text and all of the audio.
        export.unlink(missing_ok=True)
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
        log.write(output)
    if not exchanges:
        raise LaunchError(f"{configuration.name}, {title}: not one request was answered; see {folder / LOG_FILE}")
    return level_figures(exchanges, mode=configuration.mode, value=level)
