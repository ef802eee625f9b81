"""Muon for the matrices, AdamW for the rest, as one optimizer."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from demo_voice.processor import FAST_BFLOAT16

Run = Callable[[Callable[[list[Tensor]], Tensor], Iterable[list[Tensor]]], Iterable[Tensor]]
"""`map`, or a pool's."""

MOMENTUM = 0.95
NEWTON_STEPS = 4
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration that pushes all singular values towards one (Jordan et al., Muon)."""


class MuonWithAdam:
    """Steps all parameters of a model; its whole state can be saved."""

    def __init__(self, model: nn.Module, *, matrix_rate: float, vector_rate: float, weight_decay: float) -> None:
        named = list(model.named_parameters())
        self._matrices = [p for name, p in named if p.dim() == 2 and "embed" not in name]
        others = [p for name, p in named if p.dim() != 2 or "embed" in name]
        self._momenta = [torch.zeros_like(p) for p in self._matrices]
        self._adam = torch.optim.AdamW(others, lr=vector_rate, betas=(0.9, 0.98), weight_decay=weight_decay)
        self._matrix_rate, self._vector_rate, self._weight_decay = matrix_rate, vector_rate, weight_decay

    def step(self, scale: float, run: Run = map) -> None:
        """One step at `scale` times the rates; clears the gradients. `run` may do its jobs at the same time."""
        for group in self._adam.param_groups:
            group["lr"] = self._vector_rate * scale
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        with torch.no_grad():
            self._step_matrices(self._matrix_rate * scale, run)

    def state(self) -> dict[str, Any]:
        return {"adam": self._adam.state_dict(), "momenta": self._momenta}

    def load(self, state: dict[str, Any]) -> None:
        self._adam.load_state_dict(state["adam"])
        for momentum, saved in zip(self._momenta, state["momenta"], strict=True):
            momentum.copy_(saved)

    def _step_matrices(self, rate: float, run: Run) -> None:
        updates = []
        for matrix, momentum in zip(self._matrices, self._momenta, strict=True):
            momentum.lerp_(matrix.grad, 1 - MOMENTUM)
            updates.append(matrix.grad.lerp(momentum, MOMENTUM))
            matrix.grad = None
        for matrix, update in zip(self._matrices, _orthogonalised(updates, run), strict=True):
            rows, columns = matrix.shape
            matrix.mul_(1 - rate * self._weight_decay)
            matrix.sub_(update, alpha=rate * max(1, rows / columns) ** 0.5)


def _orthogonalised(updates: list[Tensor], run: Run) -> list[Tensor]:
    """Some matrices of one shape go through the iteration together."""
    by_shape: dict[torch.Size, list[int]] = {}
    for index, update in enumerate(updates):
        by_shape.setdefault(update.shape, []).append(index)
    jobs = [part for indices in by_shape.values() for part in (indices[::2], indices[1::2]) if part]
    found = list(updates)
    for indices, results in zip(jobs, run(_newton_schulz, [[updates[i] for i in job] for job in jobs]), strict=True):
        for index, result in zip(indices, results, strict=True):
            found[index] = result
    return found


@torch.no_grad()  # type: ignore[untyped-decorator]  # threads have a mode of their own
def _newton_schulz(matrices: list[Tensor]) -> Tensor:
    """K matrices [M, N] with their singular values pushed to about one, [K, M, N]."""
    x = torch.stack(matrices)
    a, b, c = COEFFICIENTS
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    # The iteration needs no more than bfloat16's precision (Jordan et al.).
    x = x.bfloat16() if FAST_BFLOAT16 else x
    for _ in range(NEWTON_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()
