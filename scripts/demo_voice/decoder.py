"""Codes to audio: a source and a filter for each quarter of a frame, told by a small network."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from demo_voice import filters
from demo_voice.features import SAMPLES_PER_STEP, STEPS_PER_FRAME
from demo_voice.layout import PHONE_CODES, PHONE_SLOTS, PITCH_CODES, PITCH_SLOT, PITCHES, SPECTRUM_CODES, SPECTRUM_SLOTS
from demo_voice.source import pulses
from orpheus_core.layout import SAMPLES_PER_FRAME

WIDTH = 192
INNER = 576
HOPS_PER_STEP = SAMPLES_PER_STEP // filters.HOP_SAMPLES
MARGIN_SAMPLES = filters.HOP_SAMPLES // 2
"""A segment is centred on its hop, so it begins this much earlier."""

RECEPTIVE_FIELD_SAMPLES = 1920
"""How far a frame's codes reach beyond it: half a frame of the next one's pulses, and what a filter adds to the last of
them. The network's two convolutions and the filter reach less far."""

NOISE_STRIDES = (31, 7, 11, 13, 17, 19, 23)
"""Weights of a frame's codes in the choice of its noise: like codes in unlike frames sound unlike."""
HOP_STRIDE = 37


class Pointwise(nn.Module):  # type: ignore[misc]  # torch brings no types
    """A residual layer that sees one step only."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.widen = nn.Linear(WIDTH, INNER)
        self.narrow = nn.Linear(INNER, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(functional.gelu(self.widen(self.norm(x)), approximate="tanh"))


class Neighbours(nn.Module):  # type: ignore[misc]
    """A residual convolution over three steps; what is not inside counts as zero."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        return x + self.mix((x * inside).transpose(1, 2)).transpose(1, 2)


class Decoder(nn.Module):  # type: ignore[misc]
    """The graph of the decoder. Every layer that sees neighbours is fed zeros for frames that are not real, as a
    shorter input would be padded: real frames sound as if they stood alone."""

    def __init__(self) -> None:
        super().__init__()
        self.pitch = nn.Embedding(PITCH_CODES, WIDTH)
        self.phone = nn.Embedding(PHONE_CODES, WIDTH)
        self.spectrum = nn.Embedding(SPECTRUM_CODES, WIDTH)
        self.place = nn.Parameter(torch.zeros(STEPS_PER_FRAME, WIDTH))
        self.near = nn.ModuleList([Neighbours(), Neighbours()])
        self.deep = nn.ModuleList([Pointwise(), Pointwise(), Pointwise()])
        self.split = nn.Linear(WIDTH, WIDTH * HOPS_PER_STEP)
        self.fine = Pointwise()
        self.head = nn.Linear(WIDTH, 2 * filters.FILTER_BANDS)
        for name, matrix in _MATRICES.items():
            self.register_buffer(name, torch.from_numpy(matrix()), persistent=False)
        # Natural logarithm of a quiet start.
        nn.init.constant_(self.head.bias, -6.0)

    def forward(self, codes: Tensor, valid: Tensor) -> Tensor:
        """Codes [B, F, 7] int64 and first and end real frame, valid [B, 2] int32, to audio [B, 2048 * F] float32,
        zero outside the real frames."""
        frame = torch.arange(codes.shape[1])
        inside = ((frame >= valid[:, :1]) & (frame < valid[:, 1:])).to(self.place.dtype)
        voiced, noise = self._filters(codes, inside)
        cycles = (codes[:, :, PITCH_SLOT] % PITCHES).to(self.place.dtype) * inside
        segments = functional.pad(pulses(cycles), (MARGIN_SAMPLES, MARGIN_SAMPLES))
        source = functional.conv1d(segments[:, None], self.analysis[:, None], stride=filters.HOP_SAMPLES)
        spectrum = _filtered(source.transpose(1, 2), voiced, self.bins, self.phases)
        spectrum = spectrum + _filtered(self._noise(codes), noise, self.bins, self.phases)
        spectrum = spectrum * _stretched(inside, STEPS_PER_FRAME * HOPS_PER_STEP)[..., None]
        audio = functional.conv_transpose1d(
            spectrum.transpose(1, 2), self.synthesis[:, None], stride=filters.HOP_SAMPLES
        )
        audio = audio[:, 0, MARGIN_SAMPLES : MARGIN_SAMPLES + codes.shape[1] * SAMPLES_PER_FRAME]
        return audio * _stretched(inside, SAMPLES_PER_FRAME)

    def _filters(self, codes: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Log amplitudes of the bands of both filters, [B, 8 * F, 64] each."""
        pitch, phone = self.pitch(codes[:, :, PITCH_SLOT]), self.phone(codes[:, :, list(PHONE_SLOTS)])
        x = self.spectrum(codes[:, :, list(SPECTRUM_SLOTS)]) + pitch[:, :, None] + self.place
        x = (x + phone.repeat_interleave(STEPS_PER_FRAME // len(PHONE_SLOTS), dim=2)).flatten(1, 2)
        around = _stretched(inside, STEPS_PER_FRAME)[..., None]
        for near in self.near:
            x = near(x, around)
        for deep in self.deep:
            x = deep(x)
        x = self.fine(self.split(x).unflatten(-1, (HOPS_PER_STEP, WIDTH)).flatten(1, 2))
        voiced, noise = self.head(x).chunk(2, dim=-1)
        return voiced, noise

    def _noise(self, codes: Tensor) -> Tensor:
        """Spectra of noise, chosen by the codes, [B, 8 * F, 2 * bins]."""
        chosen = (codes * torch.tensor(NOISE_STRIDES)).sum(dim=-1)
        hops = torch.arange(STEPS_PER_FRAME * HOPS_PER_STEP) * HOP_STRIDE
        return functional.embedding((chosen[..., None] + hops).flatten(1) % filters.NOISE_SEGMENTS, self.noise_table)


_MATRICES = {
    "analysis": filters.analysis_basis,
    "synthesis": filters.synthesis_basis,
    "bins": filters.band_to_bins,
    "phases": filters.band_to_phases,
    "noise_table": filters.noise_spectra,
}


def _filtered(spectrum: Tensor, bands: Tensor, bins: Tensor, phases: Tensor) -> Tensor:
    """A spectrum [.., 2 * bins] through the minimum-phase filter of log amplitudes [.., bands]."""
    amplitude, phase = torch.exp(bands @ bins), bands @ phases
    real, imaginary = amplitude * torch.cos(phase), amplitude * torch.sin(phase)
    x, y = spectrum.chunk(2, dim=-1)
    return torch.cat((x * real - y * imaginary, x * imaginary + y * real), dim=-1)


def _stretched(inside: Tensor, times: int) -> Tensor:
    """[B, F] to [B, times * F]."""
    return inside.unsqueeze(-1).expand(-1, -1, times).flatten(1)


def decode(decoder: Decoder, codes: Tensor) -> Tensor:
    """Codes [B, F, 7], all real, to audio [B, 2048 * F]."""
    valid = torch.tensor([[0, codes.shape[1]]] * codes.shape[0], dtype=torch.int32)
    with torch.inference_mode():
        audio: Tensor = decoder(codes, valid)
    return audio
