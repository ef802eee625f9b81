"""Models that are made or fetched: language models and codecs, kept by what they were made from."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.commands import require_free_bytes, run_step, say
from launcher.errors import LaunchError
from launcher.locks import exclusive
from launcher.paths import CHECKOUT, MODEL_SOURCES, REQUIREMENTS, SCRIPTS, Home
from launcher.profile import CheckpointChoice, Codec, Profile
from launcher.server_environment import ServerEnvironment

TINY = "tiny"
RANDOM = "random"
CORE = MODEL_SOURCES / "orpheus_tts" / "1"
CHECKPOINT_FILES = ("config.json", "tokenizer.json")
CODEC_FILES = ("decoder.onnx", "encoder.onnx")
BUILD_BYTES = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefacts:
    """Where the models lie on this machine."""

    checkpoints: Mapping[str, Path]
    """Folder of each checkpoint of the profile, by its name."""
    decoder: Path
    encoder: Path


@dataclass(frozen=True, slots=True)
class Workshop:
    """Makes what is missing, with the server's Python."""

    home: Home
    environment: ServerEnvironment

    def prepare(self, profile: Profile) -> Artefacts:
        """Everything that the profile names.

        Raises:
            LaunchError: something can neither be found nor made.
        """
        codec = self._codec(profile.codec)
        return Artefacts(
            checkpoints={choice.name: self._checkpoint(choice) for choice in profile.checkpoints},
            decoder=codec / CODEC_FILES[0],
            encoder=codec / CODEC_FILES[1],
        )

    def _checkpoint(self, choice: CheckpointChoice) -> Path:
        if choice.source == TINY:
            builder = Builder("tiny-orpheus", SCRIPTS / "build_tiny_orpheus.py", SCRIPTS / "tiny_orpheus")
            folder = self._built(builder, choice.build_options)
        else:
            folder = self._found(choice.source, choice.revision)
        _require_files(folder, CHECKPOINT_FILES, f"checkpoint {choice.name!r}")
        return folder

    def _codec(self, codec: Codec) -> Path:
        builder = Builder("snac", SCRIPTS / "export_snac.py", SCRIPTS / "snac_export")
        if codec.source == RANDOM:
            return self._built(builder, ("--weights", RANDOM, "--seed", str(codec.seed)))
        folder = _folder(codec.source)
        _require_source(folder, codec.source, RANDOM)
        if folder and all((folder / name).exists() for name in CODEC_FILES):
            return folder
        return self._built(builder, ("--weights", str(folder or codec.source)))

    def _found(self, source: str, revision: str | None) -> Path:
        """A local folder, or a repository of the hub, fetched into its own cache."""
        if folder := _folder(source):
            return folder
        _require_source(None, source, TINY)
        script = SCRIPTS / "fetch_models.py"
        command: list[str | Path] = [self.environment.python, script, source, "--revision", revision or "main"]
        say(f"  fetching {source} (kept in $HF_HOME) ...")
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=self._variables(), check=False)
        if answer.returncode != 0:
            raise LaunchError(f"{source} could not be fetched; the reason stands above")
        return Path(answer.stdout.splitlines()[-1])

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


def _require_source(folder: Path | None, source: str, built: str) -> None:
    """
    Raises:
        LaunchError: neither a folder that is there nor the shape of a hub id.
    """
    if folder is None and (source.count("/") != 1 or source.startswith((".", "~", "/"))):
        raise LaunchError(f"{source}: no such folder; give a folder, `{built}`, or a hub id such as owner/name")


def _require_files(folder: Path, names: Iterable[str], what: str) -> None:
    if missing := [name for name in names if not (folder / name).exists()]:
        raise LaunchError(f"{what}: {folder} lacks {', '.join(missing)}: give a complete Hugging Face model folder")
