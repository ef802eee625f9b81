"""The training of decoder and encoder, from checkpoint to checkpoint."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from demo_voice.codebook import Codebook
from demo_voice.codec_data import CodecData, Spoken
from demo_voice.codec_losses import Losses, decoder_losses, encoder_losses
from demo_voice.decoder import Decoder
from demo_voice.encoder import Encoder
from demo_voice.layout import PHONE_SLOTS, PITCH_SLOT, SPECTRUM_SLOTS
from demo_voice.settings import CodecSettings
from demo_voice.store import write_atomically

SAVE_EACH_S = 60.0
REPORT_EACH_STEPS = 50
WARMUP_STEPS = 50
LAST_RATE = 0.05
MAX_GRADIENT = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Codec:
    """Both trained networks."""

    decoder: Decoder
    encoder: Encoder


def train(data: CodecData, codebook: Codebook, settings: CodecSettings, folder: Path, say: Say) -> Codec:
    """Trains what is not finished in `folder`."""
    torch.manual_seed(settings.seed)
    decoder, encoder = Decoder(), Encoder(codebook)
    losses = decoder_losses(decoder, data, codebook, settings)
    _Job(folder / "decoder.pt", decoder, settings.decoder_steps, settings.learning_rate).run(losses, say)
    losses = encoder_losses(encoder, data, settings)
    _Job(folder / "encoder.pt", encoder, settings.encoder_steps, settings.learning_rate).run(losses, say)
    return Codec(decoder.eval(), encoder.eval())


def finished(codebook: Codebook, settings: CodecSettings, folder: Path) -> Codec | None:
    """The networks, if their training is done."""
    codec = Codec(Decoder().eval(), Encoder(codebook).eval())
    jobs = (
        _Job(folder / "decoder.pt", codec.decoder, settings.decoder_steps, settings.learning_rate),
        _Job(folder / "encoder.pt", codec.encoder, settings.encoder_steps, settings.learning_rate),
    )
    return codec if all(job.load() >= job.steps for job in jobs) else None


class _Job:
    """One network on its way to so many steps."""

    def __init__(self, path: Path, model: nn.Module, steps: int, rate: float) -> None:
        self.steps = steps
        self._path, self._model, self._rate = path, model, rate
        self._optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)

    def load(self) -> int:
        """Goes on where the file was written; the number of steps done."""
        if not self._path.exists():
            return 0
        state = torch.load(self._path, weights_only=True)
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])

    def run(self, losses: Losses, say: Say) -> None:
        first = self.load()
        saved_s = started_s = time.monotonic()
        recent: list[float] = []
        for step, loss in zip(range(first + 1, self.steps + 1), losses(first), strict=False):
            recent.append(float(loss.detach()))
            self._update(loss, step)
            if step % REPORT_EACH_STEPS == 0:
                pace = (time.monotonic() - started_s) / (step - first)
                mean = sum(recent) / len(recent)
                say(f"{self._path.stem} {step} of {self.steps}: loss {mean:.4f}, {pace:.2f} s a step")
                recent = []
            if step == self.steps or time.monotonic() - saved_s > SAVE_EACH_S:
                self._save(step)
                saved_s = time.monotonic()

    def _update(self, loss: torch.Tensor, step: int) -> None:
        """A short rise of the rate, then a straight fall."""
        share = min(1.0, step / WARMUP_STEPS) * max(LAST_RATE, 1 - (step - 1) / self.steps)
        self._optimizer.param_groups[0]["lr"] = self._rate * share
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), MAX_GRADIENT)
        self._optimizer.step()

    def _save(self, step: int) -> None:
        state = {"model": self._model.state_dict(), "optimizer": self._optimizer.state_dict(), "step": step}
        write_atomically(self._path, lambda draft: torch.save(state, draft))


def agreement(encoder: Encoder, spoken: list[Spoken]) -> dict[str, float]:
    """Share of codes that the encoder hears as they were made, by level."""
    pairs = []
    with torch.inference_mode():
        for one in spoken:
            pairs.append(encoder(one.audio) == one.codes)
    equal = torch.cat(pairs).float()
    return {
        "pitch": float(equal[:, PITCH_SLOT].mean()),
        "phone": float(equal[:, list(PHONE_SLOTS)].mean()),
        "spectrum": float(equal[:, list(SPECTRUM_SLOTS)].mean()),
    }
