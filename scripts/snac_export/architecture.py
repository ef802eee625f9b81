"""SNAC's 24 kHz architecture: the only one that Orpheus's tokens fit."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from snac import SNAC
from snac.layers import DecoderBlock, NoiseBlock
from torch import nn
from torch.nn.utils import parametrize

from orpheus_core.layout import CODES_PER_SLOT, SAMPLE_RATE_HZ, SLOT_CODEBOOK, TOKENS_PER_FRAME
from snac_export.errors import ExportError

SLOTS_OF_CODEBOOK = tuple(
    tuple(slot for slot in range(TOKENS_PER_FRAME) if SLOT_CODEBOOK[slot] == codebook)
    for codebook in range(max(SLOT_CODEBOOK) + 1)
)
"""Slots of each codebook in time order: one, two and four of them."""

STEPS_PER_FRAME = len(SLOTS_OF_CODEBOOK[-1])
"""Latent steps of a frame: one for each code of the finest codebook."""

CONFIG: Mapping[str, Any] = MappingProxyType(
    {
        "sampling_rate": SAMPLE_RATE_HZ,
        "encoder_dim": 48,
        "encoder_rates": [2, 4, 8, 8],
        "decoder_dim": 1024,
        "decoder_rates": [8, 8, 4, 2],
        "attn_window_size": None,
        "codebook_size": CODES_PER_SLOT,
        "codebook_dim": 8,
        "vq_strides": [STEPS_PER_FRAME // len(slots) for slots in SLOTS_OF_CODEBOOK],
        "noise": True,
        "depthwise": True,
    }
)
"""`config.json` of `hubertsiuzdak/snac_24khz`. Without attention, or a code would reach the whole speech."""


def check_config(config: Mapping[str, Any], name: str) -> None:
    """
    Raises:
        ExportError: the configuration is not that of the 24 kHz SNAC.
    """
    for key, expected in CONFIG.items():
        if key not in config or config[key] != expected:
            raise ExportError(
                f"{name} is not the 24 kHz SNAC: its {key} is {config.get(key, 'missing')}, not {expected}; "
                "give hubertsiuzdak/snac_24khz or weights trained in its shape"
            )


def build() -> SNAC:
    """The network with PyTorch's own initial weights, as its checkpoints expect it."""
    return SNAC(**CONFIG).eval()


def settle(model: SNAC) -> SNAC:
    """The same network, folded in place into what is served: plain weights, and no noise.

    SNAC adds noise that no code controls. Two decodes of the same codes then differ, and overlapping windows would not
    join.
    """
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight")
        if isinstance(module, DecoderBlock):
            module.block = nn.Sequential(*(part for part in module.block if not isinstance(part, NoiseBlock)))
    return model.requires_grad_(False)
