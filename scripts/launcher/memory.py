"""What a profile's models take of a card's memory: arithmetic only.

None of it was measured on a card; every figure says where it comes from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from launcher.errors import LaunchError
from launcher.profile import Engine
from orpheus_core.checkpoint import Checkpoint
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from orpheus_core.length import MAX_REFERENCE_FRAMES, MAX_REFERENCE_SECONDS, budget_frames, prompt_tokens_bound

GIB = 1 << 30
"""A card of 24 GB has 24 of these; nvidia-smi counts in 2^20."""

MAX_SHARE = 0.8
"""Of the card, unless told otherwise: the rest is for what the figures do not know (fragments, cuDNN's workspaces,
whatever else runs on the card)."""

DEFAULT_UTILIZATION = 0.92
"""vLLM 0.24's own (`vllm/config/cache.py`), where a profile leaves it out."""

CONTEXT_BYTES = 500_000_000
"""A process's CUDA context with its libraries' handles: 0.3 to 0.5 GB by PyTorch's documentation and forums. One for
vLLM's engine, one for Triton, in which ONNX Runtime runs."""

ENGINE_WORK_BYTES = 1_000_000_000
"""vLLM's activations and CUDA graphs. The widest activation of 8,192 prompt tokens, 2 x 8,192 x 2 bytes a token, is
0.27 GB; the graphs of a 3B model take about as much again (vLLM logs a few hundred MB), rounded up."""

LOGITS_COPIES = 4
"""float32 tables of streams x vocabulary at a time: logits, penalties' counts, sorted, probabilities."""

BUFFERS_AT_ONCE = 4
"""Of a convolutional network's widest layer: input, output, the residual, and a workspace."""

SNAC_WIDEST_CHANNELS = 64
"""Decoder: 1,024 channels, halved by each of four blocks; at the full sample rate these are the largest tensors."""

SNAC_ENCODER_CHANNELS = 48
FLOAT_BYTES = 4
WEIGHT_BYTES: Mapping[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Of a Llama, by its `config.json`."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    is_tied: bool = True
    """Whether one matrix serves as embedding and as head. Orpheus's hub files hold both; vLLM keeps one."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "ModelShape":
        """
        Raises:
            LaunchError: a figure is missing.
        """
        try:
            heads, hidden = config["num_attention_heads"], config["hidden_size"]
            return cls(
                layers=config["num_hidden_layers"],
                hidden=hidden,
                heads=heads,
                kv_heads=config.get("num_key_value_heads", heads),
                head_dim=config.get("head_dim") or hidden // heads,
                intermediate=config["intermediate_size"],
                vocabulary=config["vocab_size"],
                is_tied=config.get("tie_word_embeddings", False),
            )
        except KeyError as error:
            raise LaunchError(f"config.json has no {error.args[0]}: this is no Llama, as Orpheus is") from None

    @property
    def body_parameters(self) -> int:
        """All but embedding and head: 2.819 billion for Orpheus."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.layers * layer + self.hidden

    @property
    def table_parameters(self) -> int:
        """Embedding and head: 0.482 billion for Orpheus."""
        return self.hidden * self.vocabulary * (1 if self.is_tied else 2)

    def weight_bytes(self, engine: Engine) -> int:
        """In the engine's type. With fp8 vLLM quantises the layers, not embedding and head: 3.78 GB for Orpheus, and
        6.60 GB in bf16, which agrees with the 6.18 GiB that vLLM logs (Orpheus-TTS issue 13)."""
        full_bytes = WEIGHT_BYTES[engine.dtype]
        body_bytes = 1 if engine.quantization == "fp8" else full_bytes
        return self.body_parameters * body_bytes + self.table_parameters * full_bytes

    def kv_bytes_per_token(self, engine: Engine) -> int:
        """Keys and values of all layers: 114,688 bytes for Orpheus in bf16, half of it in fp8."""
        is_fp8 = (engine.kv_cache_dtype or "auto").startswith("fp8")
        value_bytes = 1 if is_fp8 else WEIGHT_BYTES[engine.dtype]
        return 2 * self.layers * self.kv_heads * self.head_dim * value_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineNeed:
    """What one vLLM engine takes."""

    name: str
    engine: Engine
    weights_bytes: int
    kv_bytes_per_stream: int
    tokens_per_stream: int
    work_bytes: int

    @classmethod
    def of(cls, checkpoint: Checkpoint, engine: Engine, shape: ModelShape) -> "EngineNeed":
        tokens = tokens_per_stream(checkpoint)
        logits_bytes = LOGITS_COPIES * FLOAT_BYTES * engine.max_num_seqs * shape.vocabulary
        return cls(
            name=checkpoint.name,
            engine=engine,
            weights_bytes=shape.weight_bytes(engine),
            kv_bytes_per_stream=tokens * shape.kv_bytes_per_token(engine),
            tokens_per_stream=tokens,
            work_bytes=ENGINE_WORK_BYTES + logits_bytes + CONTEXT_BYTES,
        )

    @property
    def fixed_bytes(self) -> int:
        return self.weights_bytes + self.work_bytes

    @property
    def kv_bytes(self) -> int:
        """Of all streams, or what the profile fixes."""
        return self.engine.kv_cache_memory_bytes or self.engine.max_num_seqs * self.kv_bytes_per_stream

    @property
    def needed_bytes(self) -> int:
        return self.fixed_bytes + self.kv_bytes

    def share_bytes(self, card_bytes: int) -> int:
        """What the engine reserves: its share of the card, whether it needs it or not. None with a fixed KV cache."""
        if self.engine.kv_cache_memory_bytes:
            return 0
        return floor((self.engine.gpu_memory_utilization or DEFAULT_UTILIZATION) * card_bytes)

    def taken_bytes(self, card_bytes: int) -> int:
        return max(self.needed_bytes, self.share_bytes(card_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table."""

    what: str
    size_bytes: int
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """All that goes onto one card."""

    engines: tuple[EngineNeed, ...]
    codec_bytes: int
    card_bytes: int

    @property
    def taken_bytes(self) -> int:
        engines_bytes = sum(need.taken_bytes(self.card_bytes) for need in self.engines)
        return engines_bytes + self.codec_bytes + CONTEXT_BYTES

    @property
    def share(self) -> float:
        return self.taken_bytes / self.card_bytes

    def rows(self) -> list[Row]:
        """The sum, piece by piece."""
        rows = []
        for need in self.engines:
            engine = need.engine
            kv = "kv_cache_memory_bytes" if engine.kv_cache_memory_bytes else (
                f"{engine.max_num_seqs} streams, {need.tokens_per_stream:,} tokens each"
            )  # fmt: skip
            rest_bytes = need.taken_bytes(self.card_bytes) - need.needed_bytes
            rows += [
                Row(
                    what=f"{need.name}: weights", size_bytes=need.weights_bytes, why=engine.quantization or engine.dtype
                ),
                Row(what=f"{need.name}: KV cache", size_bytes=need.kv_bytes, why=kv),
                Row(what=f"{need.name}: vLLM's work", size_bytes=need.work_bytes, why="graphs, logits, CUDA context"),
            ]
            if rest_bytes:
                utilization = engine.gpu_memory_utilization or DEFAULT_UTILIZATION
                why = f"more KV cache, up to gpu_memory_utilization {utilization:g}"
                rows.append(Row(what=f"{need.name}: reserved besides", size_bytes=rest_bytes, why=why))
        rows.append(
            Row(what="SNAC", size_bytes=self.codec_bytes, why="weights, its largest batch, the longest reference")
        )
        rows.append(Row(what="Triton's CUDA context", size_bytes=CONTEXT_BYTES))
        why = f"{self.share:.0%} of {self.card_bytes / 1e9:.1f} GB"
        return [*rows, Row(what="together", size_bytes=self.taken_bytes, why=why)]

    def check(self) -> None:
        """
        Raises:
            LaunchError: it is more than `MAX_SHARE` of the card; says what to turn.
        """
        if self.share <= MAX_SHARE:
            return
        raise LaunchError(
            f"the models take {self.taken_bytes / 1e9:.1f} GB of the card's {self.card_bytes / 1e9:.1f} GB, "
            f"{self.share:.0%}, more than {MAX_SHARE:.0%}: {self._remedies()}, or start with --allow-more-memory"
        )

    def warnings(self) -> list[str]:
        """What fits, but not for all streams at once."""
        told = []
        for need in self.engines:
            share_bytes = need.share_bytes(self.card_bytes)
            if 0 < share_bytes < need.needed_bytes:
                held = max(0, share_bytes - need.fixed_bytes) // need.kv_bytes_per_stream
                told.append(
                    f"{need.name}: gpu_memory_utilization {need.engine.gpu_memory_utilization:g} holds the KV cache of "
                    f"{held} streams, max_num_seqs is {need.engine.max_num_seqs}: raise it to "
                    f"{_rounded_up(need.needed_bytes / self.card_bytes):.2f}, or lower max_num_seqs"
                )
        return told

    def _remedies(self) -> str:
        """The knobs that would do, the mildest first."""
        need = max(self.engines, key=lambda each: each.taken_bytes(self.card_bytes))
        others_bytes = self.taken_bytes - need.taken_bytes(self.card_bytes)
        room_bytes = MAX_SHARE * self.card_bytes - others_bytes
        fitting = floor(100 * room_bytes / self.card_bytes) / 100
        streams = floor((room_bytes - need.fixed_bytes) / need.kv_bytes_per_stream)
        share_bytes = need.share_bytes(self.card_bytes)
        share = f"set gpu_memory_utilization of {need.name!r} (VLLM_GPU_MEMORY_UTILIZATION) to {fitting:.2f}"
        if share_bytes and need.needed_bytes <= room_bytes:
            return share
        if need.engine.kv_cache_memory_bytes and room_bytes > need.fixed_bytes:
            return f"lower kv_cache_memory_bytes of {need.name!r} to {floor(room_bytes - need.fixed_bytes)}"
        turns = [f"lower max_num_seqs of {need.name!r} from {need.engine.max_num_seqs} to {streams} and {share}"]
        turns = turns if streams >= 1 else ["take a larger card"]
        if need.engine.quantization != "fp8":
            turns.append("quantise the weights (VLLM_QUANTIZATION=fp8)")
        return ", ".join(turns)


def tokens_per_stream(checkpoint: Checkpoint) -> int:
    """What a stream holds of the KV cache, for the sum over all: prompt, reference, and half of its budget.

    Streams begin at different times, so together they hold half of what each holds at its end. A budget is about twice
    what a text really takes (0.12 s a character against 0.06 to 0.07 in speech), so this is also a whole real speech of
    the longest text. Where it is ever exceeded, vLLM takes one stream back into its queue.
    """
    longest = "x" * checkpoint.max_text_chars
    prompt = prompt_tokens_bound(longest, MAX_REFERENCE_FRAMES if checkpoint.can_clone else 0)
    return prompt + TOKENS_PER_FRAME * budget_frames(checkpoint, longest) // 2


def codec_bytes(*, weights_bytes: int, bucket_frames: Sequence[int], batch: int) -> int:
    """SNAC's weights with the widest layers of its largest batch and of the longest reference."""
    decoded = batch * max(bucket_frames) * SAMPLES_PER_FRAME * SNAC_WIDEST_CHANNELS
    encoded = int(MAX_REFERENCE_SECONDS * SAMPLE_RATE_HZ) * SNAC_ENCODER_CHANNELS
    return weights_bytes + BUFFERS_AT_ONCE * FLOAT_BYTES * (decoded + encoded)


def _rounded_up(share: float) -> float:
    return ceil(share * 100) / 100
