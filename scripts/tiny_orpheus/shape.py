"""How large a checkpoint is built: the measures of a Llama."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tiny_orpheus.errors import BuildError
from tiny_orpheus.vocabulary import Vocabulary, full, small
from tiny_orpheus.wires import WIRES

MIN_LAYERS = 2
"""One sets marks, the next reads them."""

MIN_HEADS = 2
"""The length and the voice are read by one each."""

MIN_HEAD_DIM = 32
"""Below, the slow pairs of the rotary embedding are no longer slow."""

HEAD_DIM_STEP = 8
"""Attention kernels want it."""

MIN_INTERMEDIATE = 32
"""The circuit's neurons and some that only cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes in the words of a Llama configuration."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: Vocabulary
    max_positions: int

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    def kv_head(self, head: int) -> int:
        """The key-value head that a query head reads."""
        return head // (self.heads // self.kv_heads)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight by its Hugging Face name, in the order of the model. The output head is the embedding,
        as in Llama-3.2-3B."""
        inside = {
            "input_layernorm": (self.hidden,),
            "self_attn.q_proj": (self.hidden, self.hidden),
            "self_attn.k_proj": (self.kv_heads * self.head_dim, self.hidden),
            "self_attn.v_proj": (self.kv_heads * self.head_dim, self.hidden),
            "self_attn.o_proj": (self.hidden, self.hidden),
            "post_attention_layernorm": (self.hidden,),
            "mlp.gate_proj": (self.intermediate, self.hidden),
            "mlp.up_proj": (self.intermediate, self.hidden),
            "mlp.down_proj": (self.hidden, self.intermediate),
        }
        layers = {f"layers.{n}.{part}": size for n in range(self.layers) for part, size in inside.items()}
        named = {"embed_tokens": (self.vocabulary.size, self.hidden), **layers, "norm": (self.hidden,)}
        return {f"model.{name}.weight": size for name, size in named.items()}


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "tiny": Shape(
            layers=2, hidden=64, heads=2, kv_heads=1, intermediate=128, vocabulary=small(), max_positions=16_384
        ),
        "3b": Shape(
            layers=28, hidden=3072, heads=24, kv_heads=8, intermediate=8192, vocabulary=full(), max_positions=131_072
        ),
    }
)
"""`tiny` for tests and first runs; `3b` is Orpheus's own (Llama-3.2-3B with 28,684 more tokens)."""


def check(shape: Shape) -> Shape:
    """The same shape, if the circuit fits into it.

    Raises:
        BuildError: it does not.
    """
    at_least("layers", shape.layers, MIN_LAYERS)
    at_least("heads", shape.heads, MIN_HEADS)
    at_least("kv-heads", shape.kv_heads, 1)
    at_least("intermediate", shape.intermediate, MIN_INTERMEDIATE)
    at_least("hidden", shape.hidden, WIRES + 1)
    _divides("kv-heads", shape.kv_heads, "heads", shape.heads)
    _divides("heads", shape.heads, "hidden", shape.hidden)
    if shape.head_dim < MIN_HEAD_DIM or shape.head_dim % HEAD_DIM_STEP:
        raise BuildError(
            f"--hidden / --heads: {shape.hidden} / {shape.heads} is {shape.head_dim} a head: make it a multiple of "
            f"{HEAD_DIM_STEP}, at least {MIN_HEAD_DIM}"
        )
    return shape


def at_least(option: str, value: int, least: int) -> None:
    """
    Raises:
        BuildError: the option's value is below `least`.
    """
    if value < least:
        raise BuildError(f"--{option}: {value}: give at least {least}")


def _divides(option: str, value: int, whole_option: str, whole: int) -> None:
    if whole % value:
        raise BuildError(f"--{option}: {value}: give a divisor of --{whole_option}, which is {whole}")
