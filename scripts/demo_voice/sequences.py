"""Readings as training sequences, and batches of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from demo_voice.alignment import letters_of_phones
from demo_voice.encoded import Reading
from demo_voice.layout import PHONE_SLOTS, PITCH_SLOT
from demo_voice.vocabulary import audio_ids, prompt_ids, token_ids
from orpheus_core.layout import END_OF_SPEECH, TOKENS_PER_FRAME

LOOKED_AT = 3
"""Characters that guided heads are asked to look at: of the current phone, the next and the next but one."""

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
    """[T, 3]: positions of characters to look at, or `NO_TARGET`."""


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


def whole(reading: Reading, written: str) -> Example:
    """The sequence as the model meets it when it speaks, with the text written in phones, letters or both."""
    prompt, text_start = prompt_ids(reading.voice, written)
    audio = audio_ids(reading.codes).reshape(-1)
    ids = np.concatenate((prompt, audio))
    targets = np.full(len(ids), NO_TARGET, dtype=np.int64)
    weights = np.zeros(len(ids), dtype=np.float32)
    first = len(prompt) - 1
    targets[first:] = np.concatenate((audio, [token_ids()[END_OF_SPEECH]]))
    weights[first:] = np.concatenate((np.tile(SLOT_WEIGHTS, len(reading.codes)), [END_WEIGHT]))
    looks = np.full((len(ids), LOOKED_AT), NO_TARGET, dtype=np.int64)
    looks[_phone_queries(first, len(reading.codes))] = _looks(reading, written) + text_start - 1
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


def grouped(lengths: Ints, batch_tokens: int, rng: np.random.Generator) -> list[list[int]]:
    """Indices of sequences of like lengths, each once, in groups of at most `batch_tokens` with padding, in random
    order."""
    # Ties and near ties in another order each time, so that batches differ from epoch to epoch.
    groups: list[list[int]] = [[]]
    for index in np.argsort(lengths * rng.uniform(0.95, 1.05, len(lengths))):
        longest = max([lengths[index], *lengths[groups[-1]]])
        if groups[-1] and longest * (len(groups[-1]) + 1) > batch_tokens:
            groups.append([])
        groups[-1].append(int(index))
    return [groups[i] for i in rng.permutation(len(groups))]


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


def _looks(reading: Reading, written: str) -> Ints:
    """For each step, [2 * F, 3], indices of characters in the text with one space in front: of the phone last spoken,
    the next and the next but one."""
    characters = letters_of_phones(f" {written}", reading.phones)
    spoken = np.concatenate((reading.steps[:1], reading.steps[:-1]))
    ahead = np.minimum(spoken[:, None] + np.arange(LOOKED_AT), len(characters) - 1)
    looks: Ints = characters[ahead]
    return looks
