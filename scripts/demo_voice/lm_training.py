"""A language model in training: everything that must be kept to go on as if nothing had happened."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from demo_voice.encoded import EncodedCorpus
from demo_voice.llama import Llama
from demo_voice.lm_data import Plan, Shards, available, dev_batches, epoch
from demo_voice.lm_loss import loss, mean_of
from demo_voice.optimizer import MuonWithAdam
from demo_voice.processor import FAST_BFLOAT16
from demo_voice.sequences import Batch
from demo_voice.settings import LmSettings
from demo_voice.store import write_atomically
from demo_voice.vocabulary import SIZE
from orpheus_core.lexicon import Lexicon

BATCHES_PER_STEP = 2
MAX_GRADIENT = 1.0
AVERAGE_STEPS = 50
"""Over about so many last steps the weights are averaged: a trunk's mean speaks nearly as well as a finish."""


class Training:
    """A model in training, with all that must be kept to go on."""

    def __init__(self, corpus: EncodedCorpus, lexicon: Lexicon, settings: LmSettings) -> None:
        self.corpus, self.lexicon, self.settings = corpus, lexicon, settings
        self.model = Llama(settings.shape, SIZE, settings.seed)
        self.optimizer = MuonWithAdam(
            self.model, matrix_rate=settings.matrix_rate, vector_rate=settings.vector_rate,
            weight_decay=settings.weight_decay,
        )  # fmt: skip
        self.average = {name: weight.clone() for name, weight in self.model.state_dict().items()}
        self.step = self.epoch = self.batch = 0
        self.shards = Shards({})
        self._dev = dev_batches(corpus, lexicon)
        # Threads that meet once a step, since ones that meet in each product wait for each other on a busy machine.
        self._pool = ThreadPoolExecutor(BATCHES_PER_STEP, initializer=torch.set_num_threads, initargs=(1,))

    def warm_start(self, weights: dict[str, torch.Tensor]) -> None:
        """Begins with given weights instead of random ones."""
        self.model.load_state_dict(weights)
        self.average = {name: weight.clone() for name, weight in weights.items()}

    def load(self, path: Path) -> None:
        """Goes on where the file was written."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimizer.load(state["optimizer"])
        self.step, self.epoch, self.batch = state["step"], state["epoch"], state["batch"]
        self.shards = Shards(state["shards"])

    def save(self, path: Path) -> None:
        state = {
            "model": self.model.state_dict(), "average": self.average, "optimizer": self.optimizer.state(),
            "step": self.step, "epoch": self.epoch, "batch": self.batch,
            "shards": self.shards.counts,
        }  # fmt: skip
        write_atomically(path, lambda draft: torch.save(state, draft))

    def restart_count(self) -> None:
        """A finish counts its steps from nothing and begins an epoch of its own."""
        self.step, self.epoch, self.batch, self.shards = 0, 0, 0, Shards({})

    def batches(self, *, whole_only: bool) -> Iterator[Plan]:
        """For ever, from where the training is. A new epoch takes in all shards that are there by then."""
        while True:
            if self.batch == 0 or not self.shards.counts:
                self.shards = available(self.corpus)
            found = epoch(
                self.corpus, self.lexicon, self.shards, seed=self.settings.seed, number=self.epoch,
                batch_tokens=self.settings.batch_tokens, whole_only=whole_only,
            )  # fmt: skip
            for index, plan in enumerate(found):
                if index >= self.batch:
                    self.batch = index + 1
                    yield plan
            self.epoch, self.batch = self.epoch + 1, 0

    def train(self, plans: Sequence[Plan], scale: float) -> dict[str, float]:
        """One step on the mean of some batches' gradients; each batch has a thread of its own."""
        found = list(self._pool.map(self._gradients, plans))
        for parameter, gradients in zip(self.model.parameters(), zip(*(g for g, _ in found), strict=True), strict=True):
            parameter.grad = torch.stack(gradients).mean(dim=0)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT)
        self.optimizer.step(scale, self._pool.map)
        self.step += 1
        for name, weight in self.model.state_dict().items():
            self.average[name].lerp_(weight, 1 / min(self.step, AVERAGE_STEPS))
        return mean_of([levels for _, levels in found])

    def dev(self) -> dict[str, float]:
        """Losses on sentences that are not trained on."""
        return mean_of(list(self._pool.map(self._levels, self._dev)))

    def _gradients(self, plan: Plan) -> tuple[tuple[torch.Tensor, ...], dict[str, float]]:
        # Not by backward(): it would add to what the other thread finds.
        batch = plan.batch()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=FAST_BFLOAT16):
            found = loss(self.model, batch, guidance=self.settings.guidance, z_loss=self.settings.z_loss)
        return torch.autograd.grad(found.total, list(self.model.parameters())), found.by_level

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _levels(self, batch: Batch) -> dict[str, float]:
        return loss(self.model, batch, guidance=0, z_loss=0).by_level
