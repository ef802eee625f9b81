"""Audio to codes: two classifiers for pitch and phones, and the nearest centroid for spectra."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from demo_voice.codebook import Codebook, weights
from demo_voice.features import (
    BANDS,
    FLOOR,
    SAMPLES_PER_STEP,
    STEPS_PER_FRAME,
    WINDOW_SAMPLES,
    cosine_basis,
    hann,
    mel_weights,
)
from demo_voice.layout import PHONE_CODES, PHONE_STEPS, PITCHES
from demo_voice.settings import VOICES

WIDTH = 128
PITCH_WINDOW_SAMPLES = 4096
PITCH_BINS = 96
"""Of 5.9 Hz: up to 560 Hz, two harmonics of the highest voice and six of the lowest."""
STEPS_PER_PHONE = STEPS_PER_FRAME // PHONE_STEPS


class Around(nn.Module):  # type: ignore[misc]  # torch brings no types
    """A residual convolution over five steps."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv1d(WIDTH, WIDTH, 5, padding=2)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + functional.gelu(self.mix(self.norm(x).transpose(1, 2)).transpose(1, 2), approximate="tanh")


class Encoder(nn.Module):  # type: ignore[misc]
    """The graph of the encoder."""

    def __init__(self, codebook: Codebook) -> None:
        super().__init__()
        self.enter = nn.Linear(BANDS + PITCH_BINS, WIDTH)
        self.layers = nn.ModuleList(Around() for _ in range(4))
        self.pitch_head = nn.Linear(STEPS_PER_FRAME * WIDTH, PITCHES)
        self.voice_head = nn.Linear(WIDTH, len(VOICES))
        self.phone_head = nn.Linear(STEPS_PER_PHONE * WIDTH, PHONE_CODES)
        self.register_buffer("mel", torch.from_numpy(mel_weights(WINDOW_SAMPLES, BANDS)), persistent=False)
        self.register_buffer("cosines", torch.from_numpy(cosine_basis() * weights()), persistent=False)
        self.register_buffer("window", _windowed_transform(WINDOW_SAMPLES, WINDOW_SAMPLES // 2 + 1), persistent=False)
        self.register_buffer("low", _windowed_transform(PITCH_WINDOW_SAMPLES, PITCH_BINS), persistent=False)
        self.register_buffer("centroids", torch.from_numpy(codebook.centroids), persistent=False)
        self.register_buffer("means", torch.from_numpy(codebook.means), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Audio [N] float32, N a multiple of 2048, to codes [N / 2048, 7] int64."""
        bands, features = self.features(audio[None])
        pitch, voice, phone = self.scores(features)
        speaker = voice.mean(dim=1).argmax(dim=-1)
        points = bands @ self.cosines - functional.embedding(speaker, self.means)[:, None]
        spectrum = (self.centroids.square().sum(dim=1) - 2 * points @ self.centroids.T).argmin(dim=-1)
        return torch.cat(
            (
                (speaker * PITCHES + pitch.argmax(dim=-1)).reshape(-1, 1),
                phone.argmax(dim=-1).reshape(-1, PHONE_STEPS),
                spectrum.reshape(-1, STEPS_PER_FRAME),
            ),
            dim=1,
        )

    def features(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Audio [B, N] to log mel bands [B, 4 * F, 60], and these with the low bins, roughly normalised."""
        bands = torch.log(_magnitudes(audio, self.window, WINDOW_SAMPLES) @ self.mel + FLOOR)
        low = torch.log(_magnitudes(audio, self.low, PITCH_WINDOW_SAMPLES) * (2 / PITCH_WINDOW_SAMPLES) + FLOOR)
        return bands, (torch.cat((bands, low), dim=-1) + 7.0) * 0.4

    def scores(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of pitch [B, F, 32], voice [B, 4 * F, voices] and phones [B, 2 * F, 123]."""
        x = self.enter(features)
        for layer in self.layers:
            x = layer(x)
        pitch = self.pitch_head(x.unflatten(1, (-1, STEPS_PER_FRAME)).flatten(2))
        return pitch, self.voice_head(x), self.phone_head(x.unflatten(1, (-1, STEPS_PER_PHONE)).flatten(2))


def _magnitudes(audio: Tensor, transform: Tensor, window: int) -> Tensor:
    """Magnitudes of the spectra centred on each step, [B, 4 * F, bins]."""
    margin = (window - SAMPLES_PER_STEP) // 2
    spectrum = functional.conv1d(functional.pad(audio, (margin, margin))[:, None], transform, stride=SAMPLES_PER_STEP)
    real, imaginary = spectrum.transpose(1, 2).chunk(2, dim=-1)
    return (real * real + imaginary * imaginary + 1e-18).sqrt()


def _windowed_transform(window: int, bins: int) -> Tensor:
    """Real and imaginary parts of the first bins of a Hann-windowed transform, [2 * bins, 1, window]."""
    angles = 2 * np.pi / window * np.outer(np.arange(bins), np.arange(window))
    basis = np.concatenate((np.cos(angles), -np.sin(angles))) * hann(window)
    return torch.from_numpy(basis.astype(np.float32))[:, None]
