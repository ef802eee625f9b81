"""Models of the Hugging Face hub: fetched once, then found by what was written down about them."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.commands import say
from launcher.errors import LaunchError
from launcher.locks import exclusive
from launcher.paths import SCRIPTS, Home
from launcher.profile import Profile

DEFAULT_REVISION = "main"

RELEASED_BY_LANGUAGE: Mapping[str, str] = {
    "en": "canopylabs/orpheus-3b-0.1-ft",
    "fr": "canopylabs/3b-fr-ft-research_release",
    "de": "canopylabs/3b-de-ft-research_release",
    "es": "canopylabs/3b-es_it-ft-research_release",
    "it": "canopylabs/3b-es_it-ft-research_release",
    "ko": "canopylabs/3b-ko-ft-research_release",
    "hi": "canopylabs/3b-hi-ft-research_release",
    "zh": "canopylabs/3b-zh-ft-research_release",
}
"""The finetuned checkpoints as Canopy Labs names them; Spanish and Italian share one."""


@dataclass(frozen=True, slots=True)
class HubModel:
    """A repository at a revision."""

    repository: str
    revision: str = DEFAULT_REVISION

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}"


@dataclass(frozen=True, slots=True)
class Hub:
    """Fetches with the server's Python, which has the hub's library."""

    home: Home
    python: Path
    variables: Mapping[str, str]

    def fetch_missing(self, models: Iterable[HubModel]) -> None:
        """Fetches those that are not here; the hub is not asked about the others.

        Raises:
            LaunchError: one of them cannot be fetched.
        """
        if missing := [model for model in models if self._recorded(model) is None]:
            self.fetch(missing)

    def folder(self, model: HubModel) -> Path:
        """Where a model lies that was fetched.

        Raises:
            LaunchError: it is not there, or not whole.
        """
        if folder := self._recorded(model):
            return folder
        raise LaunchError(f"{model} was fetched, but is not whole: start again")

    def fetch(self, models: Iterable[HubModel]) -> None:
        """Asks the hub for each of them, fetches what is missing and checks all of it.

        Raises:
            LaunchError: one of them cannot be fetched.
        """
        names = [str(model) for model in models]
        say(f"  fetching {', '.join(names)} (kept in $HF_HOME) ...")
        command: list[str | Path] = [self.python, SCRIPTS / "fetch_models.py", "--records", self._records, *names]
        self._records.mkdir(parents=True, exist_ok=True)
        with exclusive(self.home.models / "hub.lock"):
            status = subprocess.run(command, env=dict(self.variables), check=False).returncode
        if status != 0:
            raise LaunchError("not everything could be fetched; the reason stands above")

    @property
    def _records(self) -> Path:
        return self.home.models / "hub"

    def _recorded(self, model: HubModel) -> Path | None:
        """The model's folder, if every file of it is there in its size."""
        for path in self._records.glob("*.json"):
            record = json.loads(path.read_text(encoding="utf-8"))
            if (record["repository"], record["revision"]) == (model.repository, model.revision):
                folder = Path(record["folder"])
                return folder if _is_whole(folder, record["sizes_bytes"]) else None
        return None


def _is_whole(folder: Path, sizes_bytes: Mapping[str, int]) -> bool:
    try:
        return all((folder / name).stat().st_size == size_bytes for name, size_bytes in sizes_bytes.items())
    except OSError:
        return False


def hub_models(profile: Profile, is_here: Iterable[str]) -> list[HubModel]:
    """What the profile names of the hub; `is_here` are the sources that are built, or folders."""
    sources = [(choice.source, choice.revision) for choice in profile.checkpoints]
    sources.append((profile.codec.source, profile.codec.revision))
    known = set(is_here)
    models = [HubModel(name, revision or DEFAULT_REVISION) for name, revision in sources if name not in known]
    return list(dict.fromkeys(models))


def released(language: str) -> HubModel:
    """The released checkpoint that speaks a language.

    Raises:
        LaunchError: there is none.
    """
    if language not in RELEASED_BY_LANGUAGE:
        raise LaunchError(f"--language: {language!r}: there is a checkpoint for {', '.join(RELEASED_BY_LANGUAGE)}")
    return HubModel(RELEASED_BY_LANGUAGE[language])


def profile_lines(model: HubModel) -> str:
    """What serves a released checkpoint, for a profile's file."""
    languages = [language for language, name in RELEASED_BY_LANGUAGE.items() if name == model.repository]
    quoted = ", ".join(f'"{language}"' for language in languages)
    name = "-".join(languages)
    return f'[[checkpoints]]\nname = "{name}"\nsource = "{model.repository}"\nlanguages = [{quoted}]'
