"""A Llama as Hugging Face defines it, written for training on a CPU: parameters have its names."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from demo_voice.settings import LmShape


class RmsNorm(nn.Module):  # type: ignore[misc]  # torch brings no types
    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self.weight, self.epsilon)


class Attention(nn.Module):  # type: ignore[misc]
    """Causal, with rotary positions; plain matrix products, which beat the fused kernel at a sentence's length."""

    def __init__(self, shape: LmShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q_proj = nn.Linear(shape.hidden, shape.hidden, bias=False)
        self.k_proj = nn.Linear(shape.hidden, shape.hidden, bias=False)
        self.v_proj = nn.Linear(shape.hidden, shape.hidden, bias=False)
        self.o_proj = nn.Linear(shape.hidden, shape.hidden, bias=False)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, C] to the same and the attention, [B, H, T, T]."""
        query, key, value = map(self._heads, _projected(x, self.q_proj, self.k_proj, self.v_proj))
        query, key = _rotated(query, rotation), _rotated(key, rotation)
        # Scaled before the product: the scores are the larger matrix. A mask of another type would widen them.
        scores = (query * (1 / math.sqrt(query.shape[-1]))) @ key.transpose(-1, -2)
        attention = (scores + mask.to(scores.dtype)).softmax(dim=-1, dtype=scores.dtype)
        mixed = (attention @ value).transpose(1, 2).flatten(2)
        return self.o_proj(mixed), attention

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Mlp(nn.Module):  # type: ignore[misc]
    def __init__(self, shape: LmShape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.down_proj = nn.Linear(shape.intermediate, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = _projected(x, self.gate_proj, self.up_proj)
        return self.down_proj(functional.silu(gate) * up)


class Layer(nn.Module):  # type: ignore[misc]
    def __init__(self, shape: LmShape) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(shape.hidden, shape.norm_epsilon)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RmsNorm(shape.hidden, shape.norm_epsilon)
        self.mlp = Mlp(shape)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        mixed, attention = self.self_attn(self.input_layernorm(x), rotation, mask)
        x = x + mixed
        return x + self.mlp(self.post_attention_layernorm(x)), attention


class Trunk(nn.Module):  # type: ignore[misc]
    def __init__(self, shape: LmShape, vocabulary: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RmsNorm(shape.hidden, shape.norm_epsilon)


class Llama(nn.Module):  # type: ignore[misc]
    """The language model; input and output embeddings are one."""

    def __init__(self, shape: LmShape, vocabulary: int, seed: int) -> None:
        super().__init__()
        self.shape = shape
        self.model = Trunk(shape, vocabulary)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.5 / math.sqrt(parameter.shape[1]), generator=generator)
        # Branches start silent: the first steps of Muon are then gentle.
        for layer in self.model.layers:
            nn.init.zeros_(layer.self_attn.o_proj.weight)
            nn.init.zeros_(layer.mlp.down_proj.weight)

    def forward(self, ids: Tensor, positions: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, T] ids and positions to hidden states [B, T, C] and each layer's attention."""
        x = self.model.embed_tokens(ids)
        rotation = _rotation(positions, self.shape)
        mask = torch.full((ids.shape[1],) * 2, -torch.inf).triu(1)
        attentions = []
        for layer in self.model.layers:
            x, attention = layer(x, rotation, mask)
            attentions.append(attention)
        return self.model.norm(x), attentions

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden @ self.model.embed_tokens.weight.T


def _projected(x: Tensor, *maps: nn.Linear) -> tuple[Tensor, ...]:
    """[B, T, C] through several maps in one product."""
    weights = [part.weight for part in maps]
    joined: Tensor = functional.linear(x, torch.cat(weights))
    return tuple(joined.split([len(weight) for weight in weights], dim=-1))


def _rotation(positions: Tensor, shape: LmShape) -> tuple[Tensor, Tensor]:
    """Cosines and sines, [B, 1, T, head size]."""
    size = shape.hidden // shape.heads
    frequencies = shape.rope_theta ** (-torch.arange(0, size, 2) / size)
    angles = positions[:, None, :, None] * torch.cat((frequencies, frequencies))
    return angles.cos(), angles.sin()


def _rotated(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cosines, sines = (part.to(x.dtype) for part in rotation)
    low, high = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-high, low), dim=-1) * sines
