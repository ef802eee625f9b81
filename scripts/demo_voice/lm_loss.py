"""What the language model is asked for: the next token, and a look at the right letter."""

from dataclasses import dataclass

import torch
from torch import Tensor

from demo_voice.layout import CODES_USED, PHONE_SLOTS, PITCH_SLOT
from demo_voice.llama import Llama
from demo_voice.sequences import NO_TARGET, Batch
from demo_voice.vocabulary import SLOT_STARTS

GUIDED_HEADS = ((2, 0, 0), (2, 1, 1), (2, 2, 2), (4, 0, 0), (4, 1, 1))
"""Layer, head, and which of the letters it looks at."""

LEVELS = ("pitch", "phone", "spectrum", "end")


@dataclass(frozen=True, slots=True)
class Loss:
    """Of one batch."""

    total: Tensor
    by_level: dict[str, float]
    """Mean loss in nats of each level's tokens, `accuracy` of the phones, and `look`, the guidance."""


def loss(model: Llama, batch: Batch, *, guidance: float, z_loss: float) -> Loss:
    """The training loss, with what it consists of."""
    hidden, attentions = model(batch.ids, batch.positions)
    asked = batch.targets != NO_TARGET
    targets, weights = batch.targets[asked], batch.weights[asked]
    logits = model.logits(hidden[asked])
    normaliser = logits.logsumexp(dim=-1)
    surprise = normaliser - logits.gather(1, targets[:, None]).squeeze(1)
    spoken = (weights * (surprise + z_loss * normaliser.square())).sum() / weights.sum()
    look = _look(attentions, batch.looks)
    return Loss(
        spoken + guidance * look,
        _by_level(surprise.detach(), logits.detach(), targets) | {"look": float(look.detach())},
    )


def _look(attentions: list[Tensor], looks: Tensor) -> Tensor:
    """Mean of -log of the attention that guided heads give to their letters."""
    row, query = torch.nonzero(looks[:, :, 0] != NO_TARGET, as_tuple=True)
    losses = [
        -(attentions[layer][row, head, query, looks[row, query, letter]] + 1e-5).log().mean()
        for layer, head, letter in GUIDED_HEADS
    ]
    return torch.stack(losses).mean()


def _by_level(surprise: Tensor, logits: Tensor, targets: Tensor) -> dict[str, float]:
    levels = _levels(targets)
    found = {name: float(surprise[levels == number].mean()) for number, name in enumerate(LEVELS)}
    phones = levels == LEVELS.index("phone")
    found["accuracy"] = float((logits[phones].argmax(dim=-1) == targets[phones]).float().mean())
    return found


def _levels(targets: Tensor) -> Tensor:
    """Index into `LEVELS` of each token."""
    levels = torch.full_like(targets, LEVELS.index("end"))
    for slot, (start, used) in enumerate(zip(SLOT_STARTS, CODES_USED, strict=True)):
        name = "pitch" if slot == PITCH_SLOT else "phone" if slot in PHONE_SLOTS else "spectrum"
        levels[(targets >= start) & (targets < start + used)] = LEVELS.index(name)
    return levels


def mean_of(losses: list[dict[str, float]]) -> dict[str, float]:
    """Means over batches, level by level; a level that a batch lacks does not count."""
    return {name: float(torch.tensor([x[name] for x in losses]).nanmean()) for name in losses[0]}
