"""Readings as training sequences, and batches of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from demo_voice.encoded import Reading
from demo_voice.layout import PHONE_SLOTS, PITCH_SLOT
from demo_voice.vocabulary import audio_ids, prompt_ids, token_ids
from orpheus_core.layout import END_OF_SPEECH, TOKENS_PER_FRAME

LOOKED_AT = 3
"""Letters that guided heads are asked to look at: of the current phone, the next and the next but one."""

NO_TARGET = -1
END_WEIGHT = 2.0
SLOT_WEIGHTS = tuple(
    1.0 if slot == PITCH_SLOT else 3.0 if slot in PHONE_SLOTS else 0.4 for slot in range(TOKENS_PER_FRAME)
)
"""The ear forgives spectra, not phones."""

SKELETON_SLOTS = (0, 1, 2, 6)
"""Inputs of a skeleton: those after which pitch, phones and the first spectrum are predicted."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One sentence with its prompt, [T] each."""

    ids: Ints
    positions: Ints
    targets: Ints
    """The next token, or `NO_TARGET`."""
    weights: npt.NDArray[np.float32]
    looks: Ints
    """[T, 3]: positions of letters to look at, or `NO_TARGET`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Sequences of about the same length, padded: [B, T] each."""

    ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    looks: torch.Tensor
    """[B, T, 3], in places of the batch, not positions."""

    @property
    def tokens(self) -> int:
        return int((self.ids != 0).sum())


def whole(reading: Reading) -> Example:
    """The sequence as the model meets it when it speaks."""
    prompt, text_start = prompt_ids(reading.voice, reading.text)
    audio = audio_ids(reading.codes).reshape(-1)
    ids = np.concatenate((prompt, audio))
    targets = np.full(len(ids), NO_TARGET, dtype=np.int64)
    weights = np.zeros(len(ids), dtype=np.float32)
    first = len(prompt) - 1
    targets[first:] = np.concatenate((audio, [token_ids()[END_OF_SPEECH]]))
    weights[first:] = np.concatenate((np.tile(SLOT_WEIGHTS, len(reading.codes)), [END_WEIGHT]))
    looks = np.full((len(ids), LOOKED_AT), NO_TARGET, dtype=np.int64)
    looks[_phone_queries(first, len(reading.codes))] = _letters(reading) + text_start - 1
    return Example(ids=ids, positions=np.arange(len(ids)), targets=targets, weights=weights, looks=looks)


def skeleton(sequence: Example, frames: int) -> Example:
    """The same without the inputs that only spectra are predicted from, at their old positions.

    Phones and pitch, which are hard to learn, then cost less than half of the work.
    """
    prompt = len(sequence.ids) - frames * TOKENS_PER_FRAME
    kept = np.isin(np.arange(frames * TOKENS_PER_FRAME) % TOKENS_PER_FRAME, SKELETON_SLOTS)
    chosen = np.concatenate((np.arange(prompt), prompt + np.flatnonzero(kept)))
    return Example(
        ids=sequence.ids[chosen],
        positions=sequence.positions[chosen],
        targets=sequence.targets[chosen],
        weights=sequence.weights[chosen],
        looks=sequence.looks[chosen],
    )


def batches(sequences: Sequence[Example], batch_tokens: int, rng: np.random.Generator) -> Iterator[Batch]:
    """All of them once, in batches of like lengths of at most `batch_tokens` with padding, in random order."""
    # Ties and near ties in another order each time, so that batches differ from epoch to epoch.
    lengths = np.array([len(s.ids) for s in sequences])
    order = np.argsort(lengths * rng.uniform(0.95, 1.05, len(lengths)))
    groups: list[list[int]] = [[]]
    for index in order:
        longest = max([lengths[index], *lengths[groups[-1]]])
        if groups[-1] and longest * (len(groups[-1]) + 1) > batch_tokens:
            groups.append([])
        groups[-1].append(int(index))
    for group in rng.permutation(len(groups)):
        yield collate([sequences[i] for i in groups[group]])


def collate(sequences: Sequence[Example]) -> Batch:
    """Pads at the end, where the causal mask hides it."""

    def padded(arrays: Sequence[npt.NDArray[np.generic]], fill: int) -> torch.Tensor:
        tensors = [torch.from_numpy(a) for a in arrays]
        return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=fill)

    return Batch(
        ids=padded([s.ids for s in sequences], 0),
        positions=padded([s.positions for s in sequences], 0),
        targets=padded([s.targets for s in sequences], NO_TARGET),
        weights=padded([s.weights for s in sequences], 0),
        looks=padded([s.looks for s in sequences], NO_TARGET),
    )


def _phone_queries(first: int, frames: int) -> Ints:
    """Places whose next token is a phone, in the order of the steps."""
    starts = first + TOKENS_PER_FRAME * np.arange(frames)
    places: Ints = starts[:, None] + np.array(PHONE_SLOTS)
    return places.reshape(-1)


def _letters(reading: Reading) -> Ints:
    """For each step, [2 * F, 3], indices of letters: the phone last spoken, the next and the next but one."""
    spoken = np.concatenate((reading.steps[:1], reading.steps[:-1]))
    ahead = np.minimum(spoken[:, None] + np.arange(LOOKED_AT), len(reading.letters) - 1)
    letters: Ints = reading.letters[ahead]
    return letters
