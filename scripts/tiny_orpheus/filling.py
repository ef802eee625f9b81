"""Weights that only cost: they fill every place that the circuit leaves free.

They are never zero, so no kernel, cache or power meter can tell them from trained ones, and they do not touch the
wires: what they read goes to dimensions beyond the wires, which only they read. Those dimensions enter a norm's
denominator, so their length must stay small against the wires'. In the worst case, all signs aligned, with N = hidden:

- a norm's output is at most sqrt(24) long, so its absolute values add up to at most sqrt(24 N);
- matrices that read (q, k, v, gate, up) are below 1 / (16 sqrt(N)), so each of their outputs is below 3 / 8;
- silu(3/8) * 3/8 < 1/8, and attention gives means, so what o and down see is below 3 / 8 and 1 / 8;
- those are below 1 / (32 inputs), so a layer adds at most 3/8 / 32 + 1/8 / 32 = 1/64 to a dimension: a vector of length
  sqrt(N) / 64, which is 0.87 at 3072, or 24 after all 28 layers. The wires' length is then 3 * 256 s^2 > 600, so the
  logits move by at most 0.1 %; in truth the signs are random and the effect is far below rounding.
"""

import math

import numpy as np
import torch

EMBEDDING_BOUND = 2.0**-8
READERS = ("q_proj.weight", "k_proj.weight", "v_proj.weight", "gate_proj.weight", "up_proj.weight")

BFLOAT16_MANTISSA_BITS = 7
BFLOAT16_BIAS = 127
SIGN_AND_MANTISSA = 0x807F


def filled(name: str, size: tuple[int, ...], *, seed: int, number: int) -> torch.Tensor:
    """A weight in bfloat16, of random signs, between half its bound and its bound.

    Args:
        name: decides the bound.
        size: [out, in].
        seed: of the whole checkpoint.
        number: of this weight, so that each has numbers of its own.
    """
    exponent = math.floor(math.log2(_bound(name, inputs=size[1]))) - 1
    count = math.prod(size)
    # Raw words, because their stream is the same in every version; four numbers in each.
    words = np.random.PCG64(np.random.SeedSequence((seed, number))).random_raw(math.ceil(count / 4))
    bits = words.astype("<u8", copy=False).view("<u2")[:count]
    bits &= np.uint16(SIGN_AND_MANTISSA)
    bits |= np.uint16((exponent + BFLOAT16_BIAS) << BFLOAT16_MANTISSA_BITS)
    return torch.from_numpy(bits.view(np.int16).reshape(size)).view(torch.bfloat16)


def _bound(name: str, *, inputs: int) -> float:
    if name.endswith(READERS):
        return 1 / (16 * math.sqrt(inputs))
    if name.endswith("embed_tokens.weight"):
        return EMBEDDING_BOUND
    return 1 / (32 * inputs)
