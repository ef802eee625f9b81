"""A constructed checkpoint made to speak by transformers, with vLLM's order of sampling."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from orpheus_core.checkpoint import Sampling
from orpheus_core.layout import CODES_PER_SLOT, END_OF_SPEECH, TOKENS_PER_FRAME
from orpheus_core.prompt import code_tokens

FIRST_CODE = "<custom_token_10>"


@contextmanager
def one_thread() -> Iterator[None]:
    """Steps are so small that two threads mostly wait for each other, on a busy machine a hundred times longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Speaker:
    """Model and tokenizer of a folder."""

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.end = self.tokenizer.convert_tokens_to_ids(END_OF_SPEECH)
        self.first_code = self.tokenizer.convert_tokens_to_ids(FIRST_CODE)

    def ids(self, text: str) -> list[int]:
        """With the beginning of text that the tokenizer puts in front."""
        return list(self.tokenizer(text).input_ids)

    def logits(self, text: str) -> torch.Tensor:
        """Of the token after each of the text's, [tokens, ids] float32."""
        with torch.inference_mode(), one_thread():
            found: torch.Tensor = self.model(torch.tensor([self.ids(text)])).logits[0].float()
        return found

    def say(self, prompts: list[str], settings: list[Sampling], *, seed: int, max_tokens: int) -> list[str]:
        """What follows each prompt, as text with the end of speech if it was reached. Prompts of equal length only."""
        with one_thread():
            said = self._sample(torch.tensor([self.ids(prompt) for prompt in prompts]), settings, seed, max_tokens)
        return [self.tokenizer.decode(_until(row, self.end)) for row in said.tolist()]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _sample(self, seen: torch.Tensor, settings: list[Sampling], seed: int, max_tokens: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        columns = [[s.repetition_penalty, s.temperature, s.top_p] for s in settings]
        penalty, temperature, top_p = torch.tensor(columns).T[:, :, None]
        prompt_tokens, cache, latest = seen.shape[1], None, seen
        while seen.shape[1] < prompt_tokens + max_tokens:
            out = self.model(latest, past_key_values=cache, use_cache=True)
            cache, logits = out.past_key_values, out.logits[:, -1].float()
            used = logits.gather(1, seen)
            logits.scatter_(1, seen, torch.where(used > 0, used / penalty, used * penalty))
            latest = _draw(logits / temperature, top_p, generator)
            seen = torch.cat((seen, latest), dim=1)
            if bool((seen[:, prompt_tokens:] == self.end).any(dim=1).all()):
                break
        return seen[:, prompt_tokens:]


def _draw(logits: torch.Tensor, top_p: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One id a row, [rows, 1], among the likeliest that together reach top_p."""
    ordered, ids = logits.sort(dim=1)
    shares = ordered.softmax(dim=1)
    too_rare = shares.cumsum(dim=1) <= 1 - top_p
    too_rare[:, -1] = False
    place = shares.masked_fill(too_rare, 0).multinomial(1, generator=generator)
    return ids.gather(1, place)


def _until(row: list[int], end: int) -> list[int]:
    return row[: row.index(end) + 1] if end in row else row


def random_speech(frames: int, *, seed: int = 0) -> str:
    """Token text of whole frames."""
    return code_tokens(np.random.default_rng(seed).integers(0, CODES_PER_SLOT, (frames, TOKENS_PER_FRAME)))


def as_fp8(model: Any) -> None:
    """Rounds as vLLM's fp8 does: weights by matrix, what enters a matrix by token; head and embedding stay."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            module.weight.data = _rounded(module.weight.data, module.weight.data.abs().max())
            module.register_forward_pre_hook(lambda _m, args: (_rounded(args[0], args[0].abs().amax(-1, True)),))


def _rounded(values: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
    highest = torch.finfo(torch.float8_e4m3fn).max
    scale = (largest.float() / highest).clamp(min=1 / (512 * highest))
    return ((values.float() / scale).to(torch.float8_e4m3fn).float() * scale).to(values.dtype)
