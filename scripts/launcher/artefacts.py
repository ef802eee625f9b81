"""Models that are made or fetched: language models and codecs, kept by what they were made from."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.commands import require_free_bytes, run_step
from launcher.errors import LaunchError
from launcher.hub import DEFAULT_REVISION, Hub, HubModel, hub_models
from launcher.inspection import inspect_checkpoint, inspect_codec
from launcher.locks import exclusive
from launcher.paths import CHECKOUT, MODEL_SOURCES, REQUIREMENTS, SCRIPTS, Home
from launcher.profile import CheckpointChoice, Codec, Profile
from launcher.server_environment import ServerEnvironment
from launcher.trt_plan import FACTS_FILE, PLAN_FILE

TINY = "tiny"
RANDOM = "random"
CORE = MODEL_SOURCES / "orpheus_tts" / "1"
CODEC_FILES = ("decoder.onnx", "encoder.onnx")
BUILD_BYTES = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefacts:
    """Where the models lie on this machine."""

    checkpoints: Mapping[str, Path]
    """Folder of each checkpoint of the profile, by its name."""
    decoder: Path
    encoder: Path
    plan: Path | None = None
    """TensorRT's, instead of `decoder`."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Makes what is missing, with the server's Python."""

    home: Home
    environment: ServerEnvironment

    @property
    def hub(self) -> Hub:
        return Hub(self.home, self.environment.python, self._variables())

    def prepare(self, profile: Profile) -> Artefacts:
        """Everything that the profile names.

        Raises:
            LaunchError: something can neither be found nor made.
        """
        self.hub.fetch_missing(hub_models(profile, sources_here(profile)))
        codec = self._codec(profile.codec)
        return Artefacts(
            checkpoints={choice.name: self._checkpoint(choice) for choice in profile.checkpoints},
            decoder=codec / CODEC_FILES[0],
            encoder=codec / CODEC_FILES[1],
            plan=planned(profile.codec),
        )

    def decoder(self, codec: Codec) -> Path:
        """The decoder alone, as ONNX.

        Raises:
            LaunchError: as `prepare`.
        """
        if codec.source != RANDOM and _folder(codec.source) is None:
            _require_source(None, codec.source, RANDOM)
            self.hub.fetch_missing([HubModel(codec.source, codec.revision or DEFAULT_REVISION)])
        return self._codec(codec) / CODEC_FILES[0]

    def _checkpoint(self, choice: CheckpointChoice) -> Path:
        if choice.source == TINY:
            builder = Builder("tiny-orpheus", SCRIPTS / "build_tiny_orpheus.py", SCRIPTS / "tiny_orpheus")
            folder = self._built(builder, choice.build_options)
        else:
            folder = self._found(choice.source, choice.revision, TINY)
        inspect_checkpoint(folder, choice.name)
        return folder

    def _codec(self, codec: Codec) -> Path:
        builder = Builder("snac", SCRIPTS / "export_snac.py", SCRIPTS / "snac_export")
        if codec.source == RANDOM:
            return self._built(builder, ("--weights", RANDOM, "--seed", str(codec.seed)))
        folder = self._found(codec.source, codec.revision, RANDOM)
        inspect_codec(folder, codec)
        if all((folder / name).exists() for name in CODEC_FILES):
            return folder
        return self._built(builder, ("--weights", str(folder)))

    def _found(self, source: str, revision: str | None, built: str) -> Path:
        """A local folder, or a repository of the hub, fetched into its own cache."""
        if folder := _folder(source):
            return folder
        _require_source(None, source, built)
        return self.hub.folder(HubModel(source, revision or DEFAULT_REVISION))

    def _built(self, builder: "Builder", options: Iterable[str]) -> Path:
        """What the builder makes with these options; made only once."""
        arguments = tuple(options)
        folder = self.home.models / f"{builder.name}-{builder.key(arguments)}"
        with exclusive(folder.with_name(f"{builder.name}.lock")):
            if not folder.exists():
                require_free_bytes(self.home.models, BUILD_BYTES, builder.name)
                _replace_when_done(folder, lambda draft: self._run(builder, arguments, draft))
        return folder

    def _run(self, builder: "Builder", options: Iterable[str], out: Path) -> None:
        command: list[str | Path] = [self.environment.python, builder.script, "--out", out, *options]
        run_step(f"building {builder.name}", command, writes_to=self.home.models, env=self._variables())

    def _variables(self) -> dict[str, str]:
        search_path = os.pathsep.join(map(str, (SCRIPTS, CORE)))
        return {**self.environment.variables(os.environ), "PYTHONPATH": search_path}


@dataclass(frozen=True, slots=True)
class Builder:
    """A script that makes a model, with the package of its parts."""

    name: str
    script: Path
    package: Path

    def key(self, options: Iterable[str]) -> str:
        """Changes with the builder, its options, the token layout and the packages it runs with."""
        digest = hashlib.sha256("\0".join(options).encode())
        facts = [CORE / "orpheus_core" / "layout.py", CORE / "orpheus_core" / "voices.py"]
        locks = [REQUIREMENTS / "server-cpu.txt"]
        for path in (self.script, *sorted(self.package.rglob("*.py")), *facts, *locks):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:12]


def sources_here(profile: Profile) -> list[str]:
    """Of what the profile names: what is built, and the folders.

    Raises:
        LaunchError: one is neither that nor a hub id.
    """
    here = []
    for source, built in [
        *((choice.source, TINY) for choice in profile.checkpoints),
        (profile.codec.source, RANDOM),
    ]:
        if source == built or (folder := _folder(source)):
            here.append(source)
        else:
            _require_source(folder, source, built)
    return here


def _replace_when_done(folder: Path, make: Callable[[Path], None]) -> None:
    """A folder appears under its name only when it is whole."""
    draft = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    make(draft)
    draft.rename(folder)


def _folder(source: str) -> Path | None:
    """The folder that a source names, relative ones from the checkout; None if there is none."""
    folder = (CHECKOUT / Path(source).expanduser()).resolve()
    return folder if folder.is_dir() else None


def planned(codec: Codec) -> Path | None:
    """The TensorRT plan that a profile names, if it names one.

    Raises:
        LaunchError: the profile names a folder without a plan, or one for other windows.
    """
    if codec.plan is None:
        return None
    folder = CHECKOUT / Path(codec.plan).expanduser()
    if not (folder / PLAN_FILE).exists():
        raise LaunchError(f"codec.plan: {folder} holds no {PLAN_FILE}: make it with scripts/build_trt")
    facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
    if facts["bucket_frames"] != list(codec.bucket_frames):
        raise LaunchError(
            f"codec.plan: {folder} was built for windows of {facts['bucket_frames']} frames, the profile has "
            f"{list(codec.bucket_frames)}: build it anew with scripts/build_trt"
        )
    return folder / PLAN_FILE


def _require_source(folder: Path | None, source: str, built: str) -> None:
    """
    Raises:
        LaunchError: neither a folder that is there nor the shape of a hub id.
    """
    if folder is None and (source.count("/") != 1 or source.startswith((".", "~", "/"))):
        raise LaunchError(f"{source}: no such folder; give a folder, `{built}`, or a hub id such as owner/name")
