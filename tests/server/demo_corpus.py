"""A small corpus for the demo voice's tests: no flite, made-up speech of made-up sentences."""

from pathlib import Path

import numpy as np

from demo_voice.codebook import Codebook
from demo_voice.corpus import Corpus, Utterance, write_shard
from demo_voice.encoded import EncodedCorpus
from demo_voice.features import CEPSTRA
from demo_voice.layout import SPECTRUM_CODES
from demo_voice.sentences import Texts
from demo_voice.settings import CorpusSettings

SENTENCES = 80


def made_up_codebook() -> Codebook:
    rng = np.random.default_rng(0)
    centroids = rng.standard_normal((SPECTRUM_CODES, CEPSTRA)).astype(np.float32)
    return Codebook(centroids, rng.standard_normal((2, CEPSTRA)).astype(np.float32))


def made_up_corpus(folder: Path, shards: int = 1) -> EncodedCorpus:
    """Shards of both voices."""
    texts = Texts(tuple(f"number {'abcdefgh'[n % 8]}{'klmnop'[n % 6]}." for n in range(SENTENCES * shards)), {})
    corpus = Corpus.under(folder, CorpusSettings(shard_sentences=SENTENCES), texts)
    for number, voice in enumerate(corpus.settings.voices):
        for shard in range(shards):
            said = [_utterance(text, number) for text in corpus.shard_texts(voice, shard)]
            write_shard(corpus.path(voice, shard), said)
    return EncodedCorpus(folder / "encoded", corpus, made_up_codebook())


def _utterance(text: str, voice: int) -> Utterance:
    rng = np.random.default_rng([voice, *text.encode()])
    frames = int(rng.integers(4, 9))
    phones = np.array([0, *rng.integers(1, 41, frames), 0], dtype=np.uint8)
    ends_s = np.linspace(0.05, frames * 2048 / 24_000, len(phones))
    return Utterance(
        text=text,
        cepstra=rng.standard_normal((4 * frames, CEPSTRA)).astype(np.float32),
        pitch_hz=rng.uniform(90, 200, frames * 17).astype(np.float32),
        phones=phones,
        ends_s=ends_s.astype(np.float32),
        audio=rng.integers(-8000, 8000, 2048 * frames).astype(np.int16),
    )
