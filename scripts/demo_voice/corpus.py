"""The spoken corpus: shards of a few hundred sentences of one voice, each made once. More shards can follow later."""

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from demo_voice.features import cepstra, to_24_khz, whole_frames
from demo_voice.flite import FLITE_RATE_HZ, PITCH_STEP_S, FliteVoice, Speech
from demo_voice.phones import PAUSE
from demo_voice.sentences import Texts
from demo_voice.settings import CorpusSettings, Voice
from demo_voice.store import key, write_atomically
from orpheus_core.layout import SAMPLE_RATE_HZ

LEAD_S = 0.04
TAIL_S = 0.08
"""Silence that is kept around a sentence."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One spoken sentence, on the grid of whole frames."""

    text: str
    cepstra: FloatArray
    """[4 * F, 20]."""
    pitch_hz: FloatArray
    """[P], each 5 ms; 0 where unvoiced."""
    phones: npt.NDArray[np.uint8]
    ends_s: FloatArray
    audio: npt.NDArray[np.int16]
    """[2048 * F] at 24 kHz, or empty where it was not kept."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A folder of shards."""

    folder: Path
    settings: CorpusSettings
    texts: Texts

    @classmethod
    def under(cls, cache: Path, settings: CorpusSettings, texts: Texts) -> "Corpus":
        """The folder is named by the settings and every sentence, so that other Debian packages make another."""
        return cls(cache / f"corpus-{key(settings, texts.training)}", settings, texts)

    def path(self, voice: Voice, shard: int) -> Path:
        return self.folder / f"{voice.name}-{shard:04d}.npz"

    def shard_texts(self, voice: Voice, shard: int) -> list[str]:
        """Each voice reads the sentences in an order of its own, so a small corpus has more of them in all."""
        order = np.random.default_rng([self.settings.seed, self.settings.voices.index(voice)])
        chosen = order.permutation(len(self.texts.training))
        start = shard * self.settings.shard_sentences
        return [self.texts.training[i] for i in chosen[start : start + self.settings.shard_sentences]]

    def make(self, shards: int, workers: int) -> None:
        """Speaks the first `shards` shards of each voice, those that are not there yet."""
        jobs = [(v, s) for s in range(shards) for v in self.settings.voices if not self.path(v, s).exists()]
        if not jobs:
            return
        # Spawned: flite's library is loaded by each worker for itself.
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            for done, name in enumerate(pool.imap(_Speaker(self), jobs), start=1):
                print(f"corpus: {name} ({done} of {len(jobs)} shards)", flush=True)

    def available(self, voice: Voice) -> list[int]:
        """Shards that are there, without a gap."""
        found: list[int] = []
        while self.path(voice, len(found)).exists():
            found.append(len(found))
        return found

    def read(self, voice: Voice, shard: int) -> list[Utterance]:
        with np.load(self.path(voice, shard)) as arrays:
            return list(_unpacked(dict(arrays)))


@dataclass(frozen=True, slots=True)
class _Speaker:
    corpus: Corpus

    def __call__(self, job: tuple[Voice, int]) -> str:
        voice, shard = job
        teacher = _teacher(voice.teacher)
        keep_audio = shard < self.corpus.settings.audio_shards
        said = [utterance(teacher, text, keep_audio=keep_audio) for text in self.corpus.shard_texts(voice, shard)]
        path = self.corpus.path(voice, shard)
        write_shard(path, said)
        return path.stem


_teachers: dict[str, FliteVoice] = {}


def _teacher(name: str) -> FliteVoice:
    if name not in _teachers:
        _teachers[name] = FliteVoice(name)
    return _teachers[name]


def utterance(teacher: FliteVoice, text: str, *, keep_audio: bool = True) -> Utterance:
    """Has a sentence spoken."""
    speech = trimmed(teacher.speak(text))
    audio = whole_frames(to_24_khz(speech.audio))
    return Utterance(
        text=text,
        cepstra=cepstra(audio),
        pitch_hz=speech.pitch_hz,
        phones=speech.phones,
        ends_s=speech.ends_s,
        audio=(audio * 32767).astype(np.int16) if keep_audio else np.zeros(0, dtype=np.int16),
    )


def trimmed(speech: Speech) -> Speech:
    """The same with the silence at both ends cut to `LEAD_S` and `TAIL_S`, in whole pitch steps."""
    spoken = np.flatnonzero(speech.phones != PAUSE)
    if len(spoken) == 0:
        return speech
    starts_s = np.concatenate(([0.0], speech.ends_s[:-1]))
    first = max(0, int((starts_s[spoken[0]] - LEAD_S) / PITCH_STEP_S))
    last = min(len(speech.pitch_hz), round((speech.ends_s[spoken[-1]] + TAIL_S) / PITCH_STEP_S))
    step = round(PITCH_STEP_S * FLITE_RATE_HZ)
    begin_s, end_s = first * PITCH_STEP_S, last * PITCH_STEP_S
    return Speech(
        audio=speech.audio[first * step : last * step],
        pitch_hz=speech.pitch_hz[first:last],
        phones=speech.phones,
        ends_s=(np.clip(speech.ends_s, begin_s, end_s) - begin_s).astype(np.float32),
    )


def seconds(utterance: Utterance) -> float:
    """Length of the audio, to the end of its last frame."""
    return len(utterance.cepstra) * 512 / SAMPLE_RATE_HZ


def write_shard(path: Path, utterances: list[Utterance]) -> None:
    """One file of utterances, as `Corpus.read` reads them."""
    arrays = _packed(utterances)
    # numpy's stub takes the names of arrays for its own options.
    write_atomically(path, lambda draft: np.savez(draft, **arrays))  # type: ignore[arg-type]


_RAGGED = ("cepstra", "pitch_hz", "phones", "ends_s", "audio")


def _packed(utterances: list[Utterance]) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {"text": np.array([u.text for u in utterances])}
    for name in _RAGGED:
        parts = [getattr(u, name) for u in utterances]
        joined = np.concatenate(parts)
        arrays[name] = joined.astype(np.float16) if joined.dtype == np.float32 and name != "ends_s" else joined
        arrays[f"{name}_ends"] = np.cumsum([len(part) for part in parts])
    return arrays


def _unpacked(arrays: dict[str, npt.NDArray[Any]]) -> Iterator[Utterance]:
    for index, text in enumerate(arrays["text"]):
        parts = {name: _part(arrays[name], arrays[f"{name}_ends"], index) for name in _RAGGED}
        parts["cepstra"], parts["pitch_hz"] = parts["cepstra"].astype(np.float32), parts["pitch_hz"].astype(np.float32)
        yield Utterance(text=str(text), **parts)


def _part(joined: npt.NDArray[Any], ends: npt.NDArray[np.int64], index: int) -> npt.NDArray[Any]:
    return joined[ends[index - 1] if index else 0 : ends[index]]
