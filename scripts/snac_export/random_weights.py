"""Weights for a machine without the trained ones: a codec that hums.

The same seed gives the same weights on every machine: numbers come from integer bits of a generator with a fixed
stream, and the one measured factor is rounded to two digits.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from snac import SNAC
from torch import nn

from orpheus_core.layout import CODES_PER_SLOT, TOKENS_PER_FRAME
from snac_export.slots import decode

LEVEL_RMS = 0.1
"""Of full scale, as speech has it; peaks are then near 0.4."""

SMOOTH_STRIDE = 4
"""Upsampling by this or less interpolates: that leaves the sound below 1 kHz, a hum instead of a hiss."""

GAIN = 0.7
"""Below one, because Snake and the residual paths amplify: the signal stays near one through all layers. A louder one
would turn rounding into sound, since Snake folds its input over and over."""

MEASURED_FRAMES = 32

Weights = npt.NDArray[np.float32]


def randomise(model: SNAC, seed: int) -> None:
    """Fills a folded model in place; any codes then give sound of about `LEVEL_RMS` around zero."""
    generator = np.random.Generator(np.random.PCG64(seed))
    for module in model.modules():
        match module:
            case nn.ConvTranspose1d():
                _fill(module, _upsampling(generator, *module.weight.shape, stride=module.stride[0]))
            case nn.Conv1d():
                _fill(module, _uniform(generator, *module.weight.shape, fan_in=module.weight[0].numel()))
            case nn.Embedding():
                module.weight.copy_(torch.from_numpy(_uniform(generator, *module.weight.shape, fan_in=1)))
    _set_level(model, generator)


def _uniform(generator: np.random.Generator, *shape: int, fan_in: int) -> Weights:
    """Zero on average, of standard deviation `GAIN / sqrt(fan_in)`."""
    spread = np.float32(2 * GAIN * math.sqrt(3 / fan_in))
    return (generator.random(shape, dtype=np.float32) - np.float32(0.5)) * spread


def _upsampling(generator: np.random.Generator, inputs: int, outputs: int, width: int, *, stride: int) -> Weights:
    """[inputs, outputs, width]; each output sample sees `width / stride` input steps."""
    if stride > SMOOTH_STRIDE:
        return _uniform(generator, inputs, outputs, width, fan_in=inputs * width // stride)
    triangle = 1 - np.abs((np.arange(width, dtype=np.float32) + np.float32(0.5)) / np.float32(stride) - 1)
    weights: Weights = _uniform(generator, inputs, outputs, 1, fan_in=inputs) * triangle.astype(np.float32)
    return weights


def _fill(module: nn.Conv1d | nn.ConvTranspose1d, weight: Weights) -> None:
    module.weight.copy_(torch.from_numpy(weight))
    if module.bias is not None:
        module.bias.zero_()


def _set_level(model: SNAC, generator: np.random.Generator) -> None:
    *body, last, tanh = model.decoder.model
    model.decoder.model = nn.Sequential(*body, last)
    codes = generator.integers(0, CODES_PER_SLOT, (1, MEASURED_FRAMES, TOKENS_PER_FRAME))
    audio = decode(model, torch.from_numpy(codes))
    model.decoder.model.append(tanh)
    scale = float(f"{LEVEL_RMS / float(audio.std()):.2g}")
    last.weight.mul_(scale)
    last.bias.fill_(float(f"{-float(audio.mean()) * scale:.2g}"))
