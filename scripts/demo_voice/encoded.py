"""The corpus as the language model learns it: texts, codes and phones. A few MB."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from demo_voice.codebook import Codebook
from demo_voice.codes import encoded, frames_of, phone_steps
from demo_voice.corpus import Corpus, Utterance
from demo_voice.layout import PHONE_STEPS
from demo_voice.settings import Voice
from demo_voice.store import write_atomically

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One sentence."""

    voice: str
    text: str
    codes: Ints
    """[F, 7]."""
    steps: Ints
    """[2 * F]: which phone each half frame belongs to."""
    phones: Ints
    """[S], indices of `PHONES`."""


@dataclass(frozen=True, slots=True)
class EncodedCorpus:
    """A folder with a file for each shard of the corpus, made when it is first asked for."""

    folder: Path
    corpus: Corpus
    codebook: Codebook

    def read(self, voice: Voice, shard: int) -> list[Reading]:
        path = self.folder / f"{voice.name}-{shard:04d}.npz"
        if not path.exists():
            number = self.corpus.settings.voices.index(voice)
            made = [reading(u, voice.name, number, self.codebook) for u in self.corpus.read(voice, shard)]
            # numpy's stub takes the names of arrays for its own options.
            write_atomically(path, lambda draft: np.savez_compressed(draft, **_packed(made)))  # type: ignore[arg-type]
        with np.load(path) as arrays:
            return list(_unpacked(dict(arrays), voice.name))


def reading(utterance: Utterance, voice: str, number: int, codebook: Codebook) -> Reading:
    """An utterance of the voice with this number, encoded."""
    return Reading(
        voice=voice,
        text=utterance.text,
        codes=encoded(utterance, number, codebook),
        steps=phone_steps(utterance.ends_s, frames_of(utterance) * PHONE_STEPS),
        phones=utterance.phones.astype(np.int64),
    )


_RAGGED = ("codes", "steps", "phones")


def _packed(readings: list[Reading]) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {"text": np.array([r.text for r in readings])}
    for name in _RAGGED:
        parts = [getattr(r, name) for r in readings]
        arrays[name] = np.concatenate(parts).astype(np.uint16)
        arrays[f"{name}_ends"] = np.cumsum([len(part) for part in parts])
    return arrays


def _unpacked(arrays: dict[str, npt.NDArray[Any]], voice: str) -> Iterator[Reading]:
    for index, text in enumerate(arrays["text"]):
        parts = {}
        for name in _RAGGED:
            ends = arrays[f"{name}_ends"]
            parts[name] = arrays[name][ends[index - 1] if index else 0 : ends[index]].astype(np.int64)
        yield Reading(voice=voice, text=str(text), **parts)
