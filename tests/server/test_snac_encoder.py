"""The encoder's graph against PyTorch, and its codes against the decoder's order."""

from typing import Any

import numpy as np
import pytest
import torch

from orpheus_core.layout import CODES_PER_SLOT, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from snac_export.weights import Codec

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

MIN_EQUAL_CODES = 0.99
"""Two vectors of a codebook can be equally near to within rounding, and what follows then differs with right."""


def voice_like(frames: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Harmonics under noise, with pauses: [2048 * frames]."""
    time_s = np.arange(frames * SAMPLES_PER_FRAME) / SAMPLE_RATE_HZ
    tone = sum(np.sin(2 * np.pi * 130 * harmonic * time_s) / harmonic for harmonic in range(1, 8))
    noise = np.random.default_rng(frames).standard_normal(len(time_s))
    return ((0.2 * tone + 0.02 * noise) * (np.sin(2 * np.pi * 2 * time_s) > -0.5)).astype(np.float32)


@pytest.mark.parametrize("frames", [1, 2, 23])
def test_the_file_gives_pytorchs_codes_in_slot_order(codec: Codec, encoder: Any, frames: int) -> None:
    audio = voice_like(frames)
    (codes,) = encoder.run(None, {"audio": audio})
    with torch.inference_mode():
        coarse, middle, fine = (c.numpy()[0] for c in codec.model.encode(torch.from_numpy(audio)[None, None]))
    expected = np.stack(
        [coarse, middle[0::2], fine[0::4], fine[1::4], middle[1::2], fine[2::4], fine[3::4]], axis=1
    )  # fmt: skip
    assert codes.dtype == np.int64
    assert codes.shape == (frames, TOKENS_PER_FRAME)
    assert codes.min() >= 0
    assert codes.max() < CODES_PER_SLOT
    assert (codes == expected).mean() >= MIN_EQUAL_CODES


def test_the_codes_follow_the_sound(encoder: Any) -> None:
    (codes,) = encoder.run(None, {"audio": voice_like(23)})
    assert all(len(set(slot)) > 1 for slot in codes.T)
