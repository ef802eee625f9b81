"""SNAC's own encode and decode, with the codes in Orpheus's slots. The graphs are held against these."""

import torch
from snac import SNAC

from orpheus_core.layout import SLOT_CODEBOOK, TOKENS_PER_FRAME
from snac_export.architecture import SLOTS_OF_CODEBOOK


def decode(model: SNAC, codes: torch.Tensor) -> torch.Tensor:
    """Codes [B, F, 7] int64 in slot order to audio [B, 2048 * F] float32."""
    by_codebook = [codes[:, :, list(slots)].flatten(1) for slots in SLOTS_OF_CODEBOOK]
    with torch.inference_mode():
        audio: torch.Tensor = model.decode(by_codebook)
    return audio.squeeze(1)


def encode(model: SNAC, audio: torch.Tensor) -> torch.Tensor:
    """Audio [N] float32, N a multiple of 2048, to codes [N / 2048, 7] int64 in slot order."""
    with torch.inference_mode():
        return in_slots(model.encode(audio[None, None]))


def in_slots(by_codebook: list[torch.Tensor]) -> torch.Tensor:
    """Codes of one speech by codebook, [1, F], [1, 2F] and [1, 4F], to [F, 7]."""
    columns = [codes.reshape(-1, len(slots)) for codes, slots in zip(by_codebook, SLOTS_OF_CODEBOOK, strict=True)]
    in_frame = [
        columns[SLOT_CODEBOOK[slot]][:, SLOTS_OF_CODEBOOK[SLOT_CODEBOOK[slot]].index(slot)]
        for slot in range(TOKENS_PER_FRAME)
    ]
    return torch.stack(in_frame, dim=1)
