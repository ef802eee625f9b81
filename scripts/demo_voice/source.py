"""The voiced source: a band-limited pulse train that carries no state from frame to frame."""

import math

import torch
from torch import Tensor

from orpheus_core.layout import SAMPLES_PER_FRAME

HALF = SAMPLES_PER_FRAME // 2
HIGHEST_HZ_TIMES_FRAME = 938.0
"""Cycles in a frame of the highest harmonic, 11 kHz."""


def pulses(cycles: Tensor) -> Tensor:
    """Whole cycles in each frame [B, F] float32, 0 where unvoiced, to a source of power one, [B, 2048 * F].

    The phase is 0 at every edge of a frame and half the cycles in its middle; the frequency of neighbours meets at
    their edge. So a frame's cycles reach half a frame to either side, and no further.
    """
    before, after = _edge_frequencies(cycles)
    place = torch.arange(HALF, dtype=cycles.dtype) / HALF
    middle = cycles[..., None] / 2
    first = _hermite(place, middle, before[..., None] / 2, middle)
    second = _hermite(place, middle, middle, after[..., None] / 2)
    phase = torch.cat((first, middle + second), dim=-1)
    return (_harmonics(phase, cycles[..., None]) * (cycles[..., None] > 0)).flatten(1)


def _edge_frequencies(cycles: Tensor) -> tuple[Tensor, Tensor]:
    """Cycles a frame at both edges: the mean with a voiced neighbour, else the frame's own."""
    padded = torch.nn.functional.pad(cycles, (1, 1))
    previous, following = padded[:, :-2], padded[:, 2:]
    before = torch.where(previous > 0, (previous + cycles) / 2, cycles)
    after = torch.where(following > 0, (following + cycles) / 2, cycles)
    return before, after


def _hermite(place: Tensor, rise: Tensor, start_slope: Tensor, end_slope: Tensor) -> Tensor:
    """A cubic from 0 to `rise` with given slopes at both ends, at places 0..1."""
    square, cube = place * place, place * place * place
    return rise * (3 * square - 2 * cube) + start_slope * (place - 2 * square + cube) + end_slope * (cube - square)


def _harmonics(phase: Tensor, cycles: Tensor) -> Tensor:
    """The sum of all harmonics below 11 kHz, in closed form, at a phase in cycles."""
    count = torch.floor(HIGHEST_HZ_TIMES_FRAME / cycles.clamp(min=1))
    angle = math.pi * (phase - torch.round(phase))
    below = torch.sin(angle)
    near = below.abs() < 1e-4
    ratio = torch.sin((2 * count + 1) * angle) / torch.where(near, torch.ones_like(below), below)
    return (torch.where(near, 2 * count + 1, ratio) - 1) * torch.rsqrt(2 * count)
