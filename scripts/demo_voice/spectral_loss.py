"""How far one sound is from another, by magnitudes alone: phases are free."""

from functools import cache

import torch
from torch import Tensor

from demo_voice.features import BANDS, FLOOR, mel_weights

MAGNITUDE_WINDOWS = (256, 512, 1024)
MEL_WINDOWS = (512, 1024, 2048)
"""Long windows tell harmonics apart; only their bands are compared, since the codes round the pitch."""


def spectral_loss(made: Tensor, true: Tensor) -> Tensor:
    """Mean difference of logarithmic magnitudes and mel bands, and spectral convergence, of audio [B, N]."""
    losses = []
    for window in sorted({*MAGNITUDE_WINDOWS, *MEL_WINDOWS}):
        x, y = _magnitudes(made, window), _magnitudes(true, window)
        if window in MAGNITUDE_WINDOWS:
            losses.append(0.5 * (_log(x) - _log(y)).abs().mean())
            losses.append(0.5 * (x - y).norm() / (y.norm() + 1e-3))
        if window in MEL_WINDOWS:
            weights = _mel(window)
            losses.append((_log(x @ weights) - _log(y @ weights)).abs().mean())
    return torch.stack(losses).mean()


def _magnitudes(audio: Tensor, window: int) -> Tensor:
    """[B, frames, bins], as a mean over the window, so that lengths compare."""
    spectrum = torch.stft(
        audio, window, hop_length=window // 4, window=torch.hann_window(window), center=False, return_complex=True
    )
    # The gradient of a magnitude at nothing is not a number.
    return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt().transpose(1, 2) * (2 / window)


def _log(magnitude: Tensor) -> Tensor:
    return torch.log(magnitude + FLOOR)


@cache
def _mel(window: int) -> Tensor:
    return torch.from_numpy(mel_weights(window, BANDS) * (window / 2))
