"""Training examples in the order of a seed and an epoch, so that a resumed training meets what it would have met."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from demo_voice.encoded import EncodedCorpus, Reading
from demo_voice.sequences import Batch, batches, collate, skeleton, whole

WHOLE_ONE_IN = 4
"""Of the batches before the last phase, one in this many has the spectra too: what is learned carries over."""

DEV_PER_VOICE = 60
"""Sentences of each voice's first shard that are not trained on: they steer nothing, they only show."""


@dataclass(frozen=True, slots=True)
class Shards:
    """How many shards of each voice an epoch goes through."""

    counts: dict[str, int]


def available(corpus: EncodedCorpus) -> Shards:
    """All shards that are there now."""
    return Shards({v.name: len(corpus.corpus.available(v)) for v in corpus.corpus.settings.voices})


def epoch(
    corpus: EncodedCorpus, shards: Shards, *, seed: int, number: int, batch_tokens: int, whole_only: bool
) -> Iterator[Batch]:
    """Batches of one pass over the shards."""
    rng = np.random.default_rng([seed, number, int(whole_only)])
    readings = list(_training(corpus, shards))
    chosen = rng.permutation(len(readings))
    cut = len(chosen) if whole_only else len(chosen) // WHOLE_ONE_IN
    full = [whole(readings[i]) for i in chosen[:cut]]
    skeletons = [skeleton(whole(readings[i]), len(readings[i].codes)) for i in chosen[cut:]]
    groups = [*batches(full, batch_tokens, rng), *(batches(skeletons, batch_tokens, rng) if skeletons else ())]
    for index in rng.permutation(len(groups)):
        yield groups[index]


def dev_batches(corpus: EncodedCorpus) -> list[Batch]:
    """The dev sentences, spectra and all."""
    readings = [r for v in corpus.corpus.settings.voices for r in corpus.read(v, 0)[:DEV_PER_VOICE]]
    examples = sorted((whole(r) for r in readings), key=lambda e: len(e.ids))
    return [collate(examples[i : i + 12]) for i in range(0, len(examples), 12)]


def _training(corpus: EncodedCorpus, shards: Shards) -> Iterator[Reading]:
    for voice in corpus.corpus.settings.voices:
        for shard in range(shards.counts[voice.name]):
            yield from corpus.read(voice, shard)[DEV_PER_VOICE if shard == 0 else 0 :]
