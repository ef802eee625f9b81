"""The two networks as they are exported."""

import torch
from snac import SNAC
from snac.layers import DecoderBlock, ResidualUnit, Snake1d
from torch import Tensor, nn
from torch.nn import functional

from snac_export.architecture import SLOTS_OF_CODEBOOK, STEPS_PER_FRAME
from snac_export.slots import in_slots


class WindowDecoder(nn.Module):  # type: ignore[misc]  # torch brings no types
    """SNAC's decoder for frames that stand anywhere in a longer, padded window.

    What it zeroes outside the real frames is what a shorter input would have been padded with, so the real frames
    sound as if they had been decoded alone.
    """

    steps: Tensor

    def __init__(self, model: SNAC) -> None:
        super().__init__()
        self.quantizers = model.quantizer.quantizers
        self.layers = model.decoder.model
        # For each latent step of a frame, the slot whose code it takes from each codebook.
        steps = [[slots[step * len(slots) // STEPS_PER_FRAME] for step in range(STEPS_PER_FRAME)]
                 for slots in SLOTS_OF_CODEBOOK]  # fmt: skip
        self.register_buffer("steps", torch.tensor(steps), persistent=False)

    def forward(self, codes: Tensor, valid: Tensor) -> Tensor:
        """Codes [B, F, 7] int64 and first and end real frame, valid [B, 2] int32, to audio [B, 2048 * F] float32,
        zero outside the real frames."""
        frame = torch.arange(codes.shape[1])
        inside = ((frame >= valid[:, :1]) & (frame < valid[:, 1:])).to(torch.float32).unsqueeze(1)
        audio, inside = _through(self.layers, self._latent(codes), _stretched(inside, STEPS_PER_FRAME))
        return (audio * inside).flatten(1)

    def _latent(self, codes: Tensor) -> Tensor:
        """[B, F, 7] to [B, 768, 4 * F]."""
        latent = torch.zeros(())
        for quantizer, slots in zip(self.quantizers, self.steps, strict=True):
            vectors = functional.embedding(codes.index_select(2, slots), quantizer.codebook.weight)
            projection = quantizer.out_proj
            latent = latent + functional.linear(vectors, projection.weight.squeeze(-1), projection.bias)
        return latent.flatten(1, 2).transpose(1, 2)


class SlotEncoder(nn.Module):  # type: ignore[misc]  # torch brings no types
    """SNAC's encoder with the codes in slot order."""

    def __init__(self, model: SNAC) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.quantizer = model.quantizer

    def forward(self, audio: Tensor) -> Tensor:
        """Audio [N] float32, 24 kHz, N a multiple of 2048, to codes [N / 2048, 7] int64."""
        _, by_codebook = self.quantizer(self.encoder(audio[None, None]))
        return in_slots(by_codebook)


def _through(layer: nn.Module, signal: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """`layer(signal)` as if the signal [B, C, T] were zero where `inside` [B, 1, T] is, with `inside` at the new rate.

    Only a convolution wider than one sample sees its neighbours, so only its input needs the zeroes.
    """
    match layer:
        case nn.Sequential():
            for part in layer:
                signal, inside = _through(part, signal, inside)
        case DecoderBlock():
            signal, inside = _through(layer.block, signal, inside)
        case ResidualUnit():
            signal = signal + _through(layer.block, signal, inside)[0]
        case nn.ConvTranspose1d():
            signal, inside = layer(signal * inside), _stretched(inside, layer.stride[0])
        case nn.Conv1d() if layer.kernel_size[0] > 1:
            signal = layer(signal * inside)
        case Snake1d():
            signal = _snake(signal, layer.alpha)
        case _:
            signal = layer(signal)
    return signal, inside


def _snake(signal: Tensor, alpha: Tensor) -> Tensor:
    wave = torch.sin(alpha * signal)
    # A product, since a power is several times slower in ONNX Runtime.
    return signal + wave * wave * (alpha + 1e-9).reciprocal()


def _stretched(inside: Tensor, times: int) -> Tensor:
    """[B, 1, T] to [B, 1, times * T]."""
    return inside.unsqueeze(-1).expand(-1, -1, -1, times).flatten(2)
