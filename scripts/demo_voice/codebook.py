"""The spectrum codes: centroids of cepstra, each relative to its voice's mean."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from demo_voice.features import CEPSTRA
from demo_voice.store import write_atomically

CODEBOOK_FILE = "codebook.npz"

LOUDNESS_WEIGHT = 0.5
"""Of the first coefficient: its range is by far the largest, the ear's care for it is not."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Codebook:
    """Centroids and voice means in weighted cepstra."""

    centroids: Floats
    """[512, 20]."""
    means: Floats
    """[voices, 20]."""

    def nearest(self, cepstra: Floats, voice: int) -> npt.NDArray[np.int64]:
        """Codes [T] of cepstra [T, 20]."""
        return nearest(cepstra * weights() - self.means[voice], self.centroids)

    def save(self, path: Path) -> None:
        write_atomically(path, lambda draft: np.savez(draft, centroids=self.centroids, means=self.means))

    @classmethod
    def load(cls, path: Path) -> "Codebook":
        with np.load(path) as arrays:
            return cls(arrays["centroids"], arrays["means"])


def weights() -> Floats:
    """What cepstra [.., 20] are multiplied with before they are compared."""
    values = np.ones(CEPSTRA, dtype=np.float32)
    values[0] = LOUDNESS_WEIGHT
    return values


def nearest(points: Floats, centroids: Floats) -> npt.NDArray[np.int64]:
    """For each point [T, 20] the index of the nearest centroid, the first of equals."""
    found: npt.NDArray[np.int64] = (np.square(centroids).sum(axis=1) - 2 * points @ centroids.T).argmin(axis=1)
    return found
