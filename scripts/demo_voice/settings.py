"""What the recipe is made with. Everything that changes a stage's result is here, so that its key can tell."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice name of Orpheus's, and flite's voice that it is taught by."""

    name: str
    teacher: str


VOICES = (Voice("tara", "slt"), Voice("leo", "rms"))
"""The first is the default. The order is a fact of the codes: see `layout`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSettings:
    """Which sentences are spoken, in which portions."""

    seed: int = 20
    voices: tuple[Voice, ...] = VOICES
    shard_sentences: int = 250
    audio_shards: int = 3
    """First shards of each voice that keep their audio, for the codec."""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CodebookSettings:
    """What the codes mean."""

    seed: int = 30
    corpus_shards: int = 3
    """First shards of each voice that the centroids are the means of."""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecSettings:
    """Decoder and encoder."""

    seed: int = 31
    corpus_shards: int = 3
    """First shards of each voice that the codec learns from: their audio is kept."""
    held_out_sentences: int = 40
    """Last ones of these shards of each voice, that measure it."""
    decoder_steps: int = 1300
    encoder_steps: int = 300
    batch: int = 12
    crop_frames: int = 12
    learning_rate: float = 2e-3
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LmShape:
    """A Llama's size."""

    hidden: int = 256
    layers: int = 6
    heads: int = 4
    intermediate: int = 768
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-5
    max_positions: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LmSettings:
    """The language model's training. The number of steps is no part of it: a training goes on for as long as asked."""

    seed: int = 40
    shape: LmShape = LmShape()
    batch_tokens: int = 2048
    """Of each of the two batches of a step, padding included."""
    matrix_rate: float = 0.02
    """Muon's, for matrices."""
    vector_rate: float = 3e-3
    """AdamW's, for embeddings and norms."""
    weight_decay: float = 0.01
    warmup_steps: int = 40
    guidance: float = 0.15
    z_loss: float = 0.01
    version: int = 1
