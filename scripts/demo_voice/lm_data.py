"""Training examples in the order of a seed and an epoch, so that a resumed training meets what it would have met."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from demo_voice.encoded import EncodedCorpus, Reading
from demo_voice.sequences import SKELETON_SLOTS, Batch, collate, grouped, skeleton, whole
from orpheus_core.layout import TOKENS_PER_FRAME
from orpheus_core.lexicon import WORD, Lexicon

WHOLE_ONE_IN = 4
"""Of the batches before the last phase, one in this many has the spectra too: what is learned carries over."""

LETTERS_SHARE = 0.1
"""Of the words, that are given in letters though the lexicon has them: the model must read those that it has not."""

DEV_PER_VOICE = 60
"""Sentences of each voice's first shard that are not trained on: they steer nothing, they only show."""
DEV_BATCH = 12


@dataclass(frozen=True, slots=True)
class Shards:
    """How many shards of each voice an epoch goes through."""

    counts: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A batch to be: the work of making it is left to the thread that trains on it."""

    readings: tuple[Reading, ...]
    written: tuple[str, ...]
    """The text of each, as its prompt has it."""
    spectra: bool
    """Whether the sequences are whole, or skeletons."""

    @property
    def tokens(self) -> int:
        """Without padding and the prompts' controls."""
        per_frame = TOKENS_PER_FRAME if self.spectra else len(SKELETON_SLOTS)
        return sum(map(len, self.written)) + per_frame * sum(len(reading.codes) for reading in self.readings)

    def batch(self) -> Batch:
        examples = [whole(reading, text) for reading, text in zip(self.readings, self.written, strict=True)]
        if self.spectra:
            return collate(examples)
        return collate([skeleton(e, len(r.codes)) for e, r in zip(examples, self.readings, strict=True)])


def available(corpus: EncodedCorpus) -> Shards:
    """All shards that are there now."""
    return Shards({v.name: len(corpus.corpus.available(v)) for v in corpus.corpus.settings.voices})


def epoch(
    corpus: EncodedCorpus, lexicon: Lexicon, shards: Shards, *,
    seed: int, number: int, batch_tokens: int, whole_only: bool,
) -> Iterator[Plan]:  # fmt: skip
    """Batches of one pass over the shards."""
    rng = np.random.default_rng([seed, number, int(whole_only)])
    readings = list(_training(corpus, shards))
    chosen = rng.permutation(len(readings))
    cut = len(chosen) if whole_only else len(chosen) // WHOLE_ONE_IN
    full = _plans([readings[i] for i in chosen[:cut]], lexicon, rng, batch_tokens=batch_tokens, spectra=True)
    bare = _plans([readings[i] for i in chosen[cut:]], lexicon, rng, batch_tokens=batch_tokens, spectra=False)
    plans = [*full, *bare]
    for index in rng.permutation(len(plans)):
        yield plans[index]


def dev_batches(corpus: EncodedCorpus, lexicon: Lexicon) -> list[Batch]:
    """The dev sentences, spectra and all, written as a server writes them."""
    readings = [r for v in corpus.corpus.settings.voices for r in corpus.read(v, 0)[:DEV_PER_VOICE]]
    examples = sorted((whole(r, lexicon.written(r.text)) for r in readings), key=lambda e: len(e.ids))
    return [collate(examples[i : i + DEV_BATCH]) for i in range(0, len(examples), DEV_BATCH)]


def partly_written(text: str, lexicon: Lexicon, rng: np.random.Generator) -> str:
    """The text as a server writes it, but for some words that keep their letters."""
    return WORD.sub(lambda w: w.group() if rng.random() < LETTERS_SHARE else lexicon.spelling(w.group()), text)


def _plans(
    readings: list[Reading], lexicon: Lexicon, rng: np.random.Generator, *, batch_tokens: int, spectra: bool
) -> list[Plan]:
    if not readings:
        return []
    written = [partly_written(reading.text, lexicon, rng) for reading in readings]
    tokens_per_frame = TOKENS_PER_FRAME if spectra else len(SKELETON_SLOTS)
    lengths = np.array([len(w) + tokens_per_frame * len(r.codes) for w, r in zip(written, readings, strict=True)])
    return [
        Plan(readings=tuple(readings[i] for i in group), written=tuple(written[i] for i in group), spectra=spectra)
        for group in grouped(lengths, batch_tokens, rng)
    ]


def _training(corpus: EncodedCorpus, shards: Shards) -> Iterator[Reading]:
    for voice in corpus.corpus.settings.voices:
        for shard in range(shards.counts[voice.name]):
            yield from corpus.read(voice, shard)[DEV_PER_VOICE if shard == 0 else 0 :]
