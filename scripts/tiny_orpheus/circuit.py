r"""The weights that do the work: from the token said last, and from what was said so far, to the next token's kind.

Every embedding has the same length, and the norms' weights undo it, so a layer reads the wires as they are, times a
factor s (0.9 to 1) that is the same for all of a token's wires. No decision depends on s, because everything compared
scales with it.

**Layer 0, attention: marks.** Head 0 looks for the end of a spoken example (cloning prompts have one), head 1 for a
colon. A token that is looked for scores 24, all others 0: one of them outweighs 8192 others by e^24 / 8192 = 3e6. The
value is 1 in what is looked for, so a head says 1 behind it and 0 before it. The scores live in the slowest pairs of
the rotary embedding, which turn by less than 0.003 within 8192 positions.

**Layer 1, attention: what is left, and who speaks.** Head 0 gives the same weight to every token of the present turn
(score 8; of another turn -8, e^-16 of it), so with values 0.875 for a token of the prompt, 112 more for the start of
speech and -1 for an audio token it says

    (112 + 0.875 * tokens of the prompt - audio tokens) / tokens of the turn.

The sign decides when the speech ends. It survives any precision: the values are exact in bfloat16 and in fp8 (the sum
at the start of speech to 0.1), equal weights are exactly 1 before attention divides by their sum, and sums run in
float32. Voice, colon, space and seven controls included, one character gives 1.5 s, each further one 10.7 ms, 400
characters 5.8 s. Head 1 gives its weight to the bytes before the first colon, so it says the mean of the name's signs.

**Layer 1, MLP: the next kind.** A neuron silu(16 * x) * x with x = 0 or 1 copies a wire exactly. Through such neurons
every wire of `SAID` gets -A; slot k gives slot k + 1 another 2A; slot 6 and the start of speech give slot 0 another 2A.
Two more make a ramp of `REMAINING`, f = (silu(-Z r) - silu(-Z r - M)) / M, which is 0 while r > 0 and 1 from -r = M / Z
on, and move 2A f from slot 0 to the end of speech, at slot 6 alone. The ramp is about one token wide in a short
speech and one frame in the longest, so a speech ends at the first border past its length, or one frame later.

**Head.** All wires of `SAID` are +A or -A, the norm makes that +L and -L with L = 32: a right token has 32 (its group
of codes moves that by at most 2), a wrong one -32. The harshest sampling allowed, penalty 2 and temperature 1.5,
leaves (32 / 2 + 32) / 1.5 = 32 between them: 156,940 * e^-32 = 2e-9 a token. Within a slot the codes of a group are
equal, so hundreds of codes stay possible at any temperature above 0 and the speech never repeats itself; with a
penalty a used code falls behind the fresh ones.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from orpheus_core.layout import TOKENS_PER_FRAME
from tiny_orpheus.shape import Shape
from tiny_orpheus.wires import (
    AFTER_COLON,
    AFTER_TURN_END,
    BYTE,
    COLON,
    END,
    GROUPS,
    NEVER,
    ONE,
    ONE_LEVEL,
    REMAINING,
    SAID,
    SLOTS,
    SQUARED_LENGTH,
    START,
    TURN_END,
    VOICE,
    VOICE_DIMS,
    VOICE_UNIT,
    WIRES,
)

BASE_TOKENS = 112.0
TOKENS_PER_PROMPT_TOKEN = 0.875

FOUND_SCORE = 24.0
TURN_SCORE = 8.0
MARK = 0.125
"""Marks are written this small, or the tokens that have one would be longer than the others."""
REMAINING_UNIT = 0.25
"""Likewise."""

GATE = 16.0
RAMP_HEIGHT = 16.0
RAMP_SLOPE = 8192.0
SAID_LEVEL = 256.0
LOGIT = 32.0
GROUP_LOGIT = 2.0
"""Of a voice whose letters agree about a group."""

Entries = dict[tuple[int, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """What the circuit wants of one matrix, [out, in]."""

    entries: Entries = field(default_factory=dict)
    rows: tuple[int, ...] = ()
    """These hold nothing but the entries."""
    columns: tuple[int, ...] = ()
    """Likewise."""


def patches(shape: Shape) -> Mapping[str, Patch]:
    """By the weight's name. All matrices that write leave the wires alone where no entry says otherwise."""
    untouched = Patch(rows=tuple(range(WIRES)))
    result = {name: untouched for name in shape.tensors() if name.endswith(("o_proj.weight", "down_proj.weight"))}
    result |= _named(0, _marks(shape)) | _named(1, _length_and_voice(shape)) | _named(1, _next_kind())
    return result


def norm_scale(shape: Shape) -> float:
    """Weight of the norms inside the layers: the wires come out as they are in the embeddings."""
    return math.sqrt(SQUARED_LENGTH / shape.hidden)


def head_scale(shape: Shape) -> dict[int, float]:
    """Weights of the last norm; 0 where not named."""
    scale = LOGIT * math.sqrt(len(SAID) / shape.hidden)
    return dict.fromkeys((*SAID, *GROUPS), scale)


def _named(layer: int, parts: Mapping[str, Patch]) -> dict[str, Patch]:
    return {f"model.layers.{layer}.{part}.weight": patch for part, patch in parts.items()}


def _marks(shape: Shape) -> dict[str, Patch]:
    look = math.sqrt(FOUND_SCORE * math.sqrt(shape.head_dim))
    slow = _slow_dims(shape)
    return _attention(
        shape,
        queries={(0, slow[0], ONE): look / ONE_LEVEL, (1, slow[1], ONE): look / ONE_LEVEL},
        keys={(slow[0], TURN_END): look, (slow[1], COLON): look},
        values={(0, TURN_END): 1.0, (1, COLON): 1.0},
        outputs={(AFTER_TURN_END, 0, 0): MARK, (AFTER_COLON, 1, 1): MARK},
    )


def _length_and_voice(shape: Shape) -> dict[str, Patch]:
    turn = math.sqrt(TURN_SCORE * math.sqrt(shape.head_dim))
    look = math.sqrt(FOUND_SCORE * math.sqrt(shape.head_dim))
    slow = _slow_dims(shape)
    this_turn = {(slow[0], ONE): -turn / ONE_LEVEL, (slow[0], AFTER_TURN_END): 2 * turn / MARK}
    name_bytes = {(slow[1], BYTE): look, (slow[1], AFTER_COLON): -look / MARK}
    count = {(0, START): BASE_TOKENS, (0, NEVER): TOKENS_PER_PROMPT_TOKEN, **{(0, slot): -1.0 for slot in SLOTS}}
    return _attention(
        shape,
        queries={**{(0, *place): value for place, value in this_turn.items()}, (1, slow[1], ONE): look / ONE_LEVEL},
        keys=this_turn | name_bytes,
        values=count | {(1 + n, VOICE[n]): 1.0 for n in range(VOICE_DIMS)},
        outputs={(REMAINING, 0, 0): REMAINING_UNIT} | {(VOICE[n], 1, 1 + n): 1.0 for n in range(VOICE_DIMS)},
    )


def _slow_dims(shape: Shape) -> tuple[int, int]:
    """The first halves of the two slowest rotary pairs (a pair is i and i + head_dim / 2)."""
    return shape.head_dim // 2 - 1, shape.head_dim // 2 - 2


def _attention(
    shape: Shape,
    *,
    queries: Mapping[tuple[int, int, int], float],
    keys: Entries,
    values: Entries,
    outputs: Mapping[tuple[int, int, int], float],
) -> dict[str, Patch]:
    """Two query heads over one content, which stands in the key-value head of each.

    Args:
        queries: by head, dimension of the head, wire.
        keys: by dimension of the head, wire.
        values: likewise.
        outputs: by wire, head, dimension of the head.
    """
    dim = shape.head_dim
    kv_heads = {shape.kv_head(0), shape.kv_head(1)}
    query_rows = tuple(range(2 * dim))
    kv_rows = tuple(kv * dim + n for kv in kv_heads for n in range(dim))
    return {
        "self_attn.q_proj": Patch(
            entries={(head * dim + n, wire): value for (head, n, wire), value in queries.items()}, rows=query_rows
        ),
        "self_attn.k_proj": Patch(
            entries={(kv * dim + n, wire): value for kv in kv_heads for (n, wire), value in keys.items()}, rows=kv_rows
        ),
        "self_attn.v_proj": Patch(
            entries={(kv * dim + n, wire): value for kv in kv_heads for (n, wire), value in values.items()},
            rows=kv_rows,
        ),
        "self_attn.o_proj": Patch(
            entries={(wire, head * dim + n): value for (wire, head, n), value in outputs.items()},
            rows=tuple(range(WIRES)),
            columns=query_rows,
        ),
    }


@dataclass(frozen=True, slots=True)
class Neuron:
    """silu(gate . x) * (up . x), written to some wires."""

    gate: Mapping[int, float]
    up: Mapping[int, float]
    down: Mapping[int, float]


def _next_kind() -> dict[str, Patch]:
    neurons = [_copy((END,), {END: 2 * SAID_LEVEL})]
    neurons += [_copy((SLOTS[k],), {SLOTS[k + 1]: 2 * SAID_LEVEL}) for k in range(TOKENS_PER_FRAME - 1)]
    border = (SLOTS[-1], START)
    neurons.append(_copy(border, {SLOTS[0]: 2 * SAID_LEVEL}))
    to_end = 2 * SAID_LEVEL / RAMP_HEIGHT
    for height, sign in ((0.0, 1.0), (RAMP_HEIGHT, -1.0)):
        ramp = {REMAINING: -RAMP_SLOPE, ONE: -height / ONE_LEVEL}
        neurons.append(Neuron(ramp, dict.fromkeys(border, 1.0), {END: sign * to_end, SLOTS[0]: -sign * to_end}))
    always = {ONE: GATE / ONE_LEVEL}
    neurons.append(Neuron(always, {ONE: 1 / ONE_LEVEL}, dict.fromkeys(SAID, -SAID_LEVEL / GATE)))
    group_level = SAID_LEVEL * GROUP_LOGIT / LOGIT / VOICE_UNIT
    for voice, group in zip(VOICE, GROUPS, strict=True):
        neurons.append(Neuron(always, {voice: 1.0}, {group: group_level / GATE}))
    return _mlp(neurons)


def _copy(wires: tuple[int, ...], outputs: Mapping[int, float]) -> Neuron:
    """Adds the outputs where one of the wires is 1, nothing where all are 0."""
    down = {wire: value / GATE for wire, value in outputs.items()}
    return Neuron(dict.fromkeys(wires, GATE), dict.fromkeys(wires, 1.0), down)


def _mlp(neurons: list[Neuron]) -> dict[str, Patch]:
    numbers = tuple(range(len(neurons)))
    gate = {(n, wire): value for n in numbers for wire, value in neurons[n].gate.items()}
    up = {(n, wire): value for n in numbers for wire, value in neurons[n].up.items()}
    down = {(wire, n): value for n in numbers for wire, value in neurons[n].down.items()}
    return {
        "mlp.gate_proj": Patch(entries=gate, rows=numbers),
        "mlp.up_proj": Patch(entries=up, rows=numbers),
        "mlp.down_proj": Patch(entries=down, rows=tuple(range(WIRES)), columns=numbers),
    }
