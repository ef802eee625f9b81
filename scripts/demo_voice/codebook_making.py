"""The codebook by k-means, and where it is kept."""

from pathlib import Path

import numpy as np

from demo_voice.codebook import CODEBOOK_FILE, LOUDNESS_WEIGHT, Codebook, Floats, nearest, weights
from demo_voice.corpus import Corpus
from demo_voice.layout import SPECTRUM_CODES
from demo_voice.settings import CodebookSettings
from demo_voice.store import key

ROUNDS = 25
AUDIBLE = -70.0
"""First coefficient below which a step is silence, which has no voice."""
AT_ONCE = 16_384


def codebook_folder(cache: Path, corpus: Corpus, settings: CodebookSettings) -> Path:
    """Where the codebook lies, and all that is encoded with it."""
    return cache / f"codebook-{key(settings, corpus.folder.name)}"


def codebook(cache: Path, corpus: Corpus, settings: CodebookSettings) -> Codebook:
    """The codebook, made if it is not there."""
    path = codebook_folder(cache, corpus, settings) / CODEBOOK_FILE
    if not path.exists():
        learn(corpus, settings).save(path)
    return Codebook.load(path)


def learn(corpus: Corpus, settings: CodebookSettings) -> Codebook:
    """K-means with seeded start over the first shards of the corpus."""
    by_voice = []
    for voice in corpus.settings.voices:
        spoken = [u.cepstra for s in range(settings.corpus_shards) for u in corpus.read(voice, s)]
        by_voice.append(np.concatenate(spoken) * weights())
    audible = AUDIBLE * LOUDNESS_WEIGHT
    means = np.stack([points[points[:, 0] > audible].mean(axis=0) for points in by_voice])
    points = np.concatenate([p - m for p, m in zip(by_voice, means, strict=True)]).astype(np.float32)
    return Codebook(_k_means(points, settings.seed), means.astype(np.float32))


def _k_means(points: Floats, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    centroids = points[rng.permutation(len(points))[:SPECTRUM_CODES]].copy()
    for _ in range(ROUNDS):
        chosen = np.concatenate(
            [nearest(part, centroids) for part in np.array_split(points, -(-len(points) // AT_ONCE))]
        )
        counts = np.bincount(chosen, minlength=SPECTRUM_CODES)
        sums = np.stack([np.bincount(chosen, weights=column, minlength=SPECTRUM_CODES) for column in points.T], axis=1)
        filled = counts > 0
        centroids[filled] = (sums[filled] / counts[filled, None]).astype(np.float32)
        # A centroid that nothing is near starts again somewhere else.
        centroids[~filled] = points[rng.permutation(len(points))[: int((~filled).sum())]]
    return centroids
