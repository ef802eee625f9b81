"""Crops of spoken sentences with their codes, for the codec."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from demo_voice.codebook import Codebook
from demo_voice.codes import encoded
from demo_voice.corpus import Corpus
from demo_voice.settings import CodecSettings
from orpheus_core.layout import SAMPLES_PER_FRAME


@dataclass(frozen=True, slots=True)
class Spoken:
    """One sentence."""

    codes: torch.Tensor
    """[F, 7] int64."""
    audio: torch.Tensor
    """[2048 * F] float32."""


@dataclass(frozen=True, slots=True)
class CodecData:
    """What the codec learns from, and what measures it."""

    training: list[Spoken]
    held_out: list[Spoken]

    @classmethod
    def read(cls, corpus: Corpus, codebook: Codebook, settings: CodecSettings) -> "CodecData":
        training: list[Spoken] = []
        held_out: list[Spoken] = []
        for number, voice in enumerate(corpus.settings.voices):
            spoken = [
                Spoken(torch.from_numpy(encoded(u, number, codebook)), torch.from_numpy(u.audio / np.float32(32767)))
                for shard in range(settings.corpus_shards)
                for u in corpus.read(voice, shard)
            ]
            training += spoken[: -settings.held_out_sentences]
            held_out += spoken[-settings.held_out_sentences :]
        return cls(training, held_out)

    def crops(self, *, batch: int, frames: int, seed: int, first_step: int) -> Iterator[tuple[torch.Tensor, ...]]:
        """Codes [B, F, 7] and audio [B, 2048 * F], for ever; each step's are the same in every run."""
        long_enough = [s for s in self.training if len(s.codes) >= frames]
        step = first_step
        while True:
            rng = np.random.default_rng([seed, step])
            chosen = [long_enough[i] for i in rng.integers(0, len(long_enough), batch)]
            starts = [int(rng.integers(0, len(s.codes) - frames + 1)) for s in chosen]
            codes = torch.stack([s.codes[a : a + frames] for s, a in zip(chosen, starts, strict=True)])
            samples = frames * SAMPLES_PER_FRAME
            audio = torch.stack([
                s.audio[a * SAMPLES_PER_FRAME :][:samples] for s, a in zip(chosen, starts, strict=True)
            ])  # fmt: skip
            yield codes, audio
            step += 1
