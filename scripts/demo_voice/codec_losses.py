"""What decoder and encoder are asked for, step by step."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from demo_voice.codebook import Codebook
from demo_voice.codec_data import CodecData
from demo_voice.decoder import Decoder
from demo_voice.encoder import Encoder
from demo_voice.features import STEPS_PER_FRAME
from demo_voice.layout import PHONE_SLOTS, PITCH_SLOT, PITCHES, SPECTRUM_SLOTS
from demo_voice.settings import CodecSettings
from demo_voice.spectral_loss import spectral_loss

NEIGHBOURS = 8
SWAPPED = 0.15
"""Of the spectrum codes are replaced by near ones, as a language model would mistake them."""
NOT_COMPARED_SAMPLES = 2048
"""At both ends of a crop: the decoder does not know what was cut off there."""
ENCODER_FRAMES = 24

Losses = Callable[[int], Iterator[Tensor]]
"""From a step on, one loss a step, for ever."""


def decoder_losses(decoder: Decoder, data: CodecData, codebook: Codebook, settings: CodecSettings) -> Losses:
    near = near_codes(codebook)
    valid = torch.tensor([[0, settings.crop_frames]] * settings.batch, dtype=torch.int32)
    inner = slice(NOT_COMPARED_SAMPLES, -NOT_COMPARED_SAMPLES)

    def losses(first: int) -> Iterator[Tensor]:
        crops = data.crops(batch=settings.batch, frames=settings.crop_frames, seed=settings.seed, first_step=first)
        for step, (codes, audio) in enumerate(crops, start=first):
            made = decoder(swapped(codes, near, seed=step), valid)
            yield spectral_loss(made[:, inner], audio[:, inner])

    return losses


def near_codes(codebook: Codebook) -> Tensor:
    """For each spectrum code its nearest others, [512, 8]."""
    centroids = torch.from_numpy(codebook.centroids)
    distances = torch.cdist(centroids, centroids)
    return distances.fill_diagonal_(torch.inf).topk(NEIGHBOURS, largest=False).indices


def swapped(codes: Tensor, near: Tensor, *, seed: int) -> Tensor:
    """Codes [B, F, 7] with a share of the spectrum codes replaced by near ones."""
    generator = torch.Generator().manual_seed(seed)
    spectra = codes[:, :, list(SPECTRUM_SLOTS)]
    chosen = torch.randint(0, NEIGHBOURS, spectra.shape, generator=generator)
    other = near[spectra].gather(-1, chosen[..., None]).squeeze(-1)
    swap = torch.rand(spectra.shape, generator=generator) < SWAPPED
    found = codes.clone()
    found[:, :, list(SPECTRUM_SLOTS)] = torch.where(swap, other, spectra)
    return found


def encoder_losses(encoder: Encoder, data: CodecData, settings: CodecSettings) -> Losses:
    def losses(first: int) -> Iterator[Tensor]:
        crops = data.crops(batch=settings.batch, frames=ENCODER_FRAMES, seed=settings.seed + 1, first_step=first)
        for codes, audio in crops:
            yield encoder_loss(encoder, codes, audio)

    return losses


def encoder_loss(encoder: Encoder, codes: Tensor, audio: Tensor) -> Tensor:
    """Cross entropy of pitch, voice and phones."""
    _, features = encoder.features(audio)
    pitch, voice, phone = encoder.scores(features)
    speakers = codes[:, :, PITCH_SLOT] // PITCHES
    return (
        functional.cross_entropy(pitch.flatten(0, 1), (codes[:, :, PITCH_SLOT] % PITCHES).flatten())
        + functional.cross_entropy(phone.flatten(0, 1), codes[:, :, list(PHONE_SLOTS)].flatten())
        + functional.cross_entropy(voice.flatten(0, 1), speakers.repeat_interleave(STEPS_PER_FRAME, dim=1).flatten())
    )
