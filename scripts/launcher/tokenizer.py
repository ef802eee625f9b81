"""What a checkpoint's `tokenizer.json` says, and whether Orpheus's tokens can be written and read with it."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from launcher.errors import LaunchError
from orpheus_core.layout import (
    BEGIN_OF_TEXT,
    CODE_TOKEN_COUNT,
    CODES_PER_SLOT,
    END_OF_HUMAN,
    END_OF_SPEECH,
    END_OF_TURN,
    FIRST_CODE_TOKEN,
    START_OF_AI,
    START_OF_HUMAN,
    START_OF_SPEECH,
    TOKENS_PER_FRAME,
)

TOKENIZER_FILE = "tokenizer.json"
AGAIN = "fetch the checkpoint again"

LLAMA_TEXT_IDS = 128_000
FIRST_CUSTOM_ID = 128_256
"""Llama 3 has 128,000 text tokens and 256 controls; then follow Orpheus's `<custom_token_N>`: its id is this plus N. A
checkpoint with another text vocabulary has ids of its own."""

CODE_NUMBERS = range(FIRST_CODE_TOKEN, FIRST_CODE_TOKEN + CODE_TOKEN_COUNT)
CONTROLS = (
    END_OF_SPEECH, END_OF_TURN, BEGIN_OF_TEXT, START_OF_SPEECH, START_OF_HUMAN, END_OF_HUMAN, START_OF_AI,
)  # fmt: skip
"""Without one of these no prompt can be written, or no speech ends."""

ROUND_TRIP = "Grüße, 你好, नमस्ते, 안녕하세요, مرحبا, 🙂"
"""Of every length that a character has in UTF-8."""

_CUSTOM = re.compile(r"<custom_token_(0|[1-9]\d*)>")


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """The file, read."""

    path: Path
    text_ids: Mapping[str, int]
    """Of the model's own vocabulary."""
    added_ids: tuple[tuple[str, int], ...]
    """Tokens that are found in a text before it is cut up."""
    merges: tuple[tuple[str, str], ...]
    is_byte_level: bool

    @classmethod
    def read(cls, folder: Path) -> "Tokenizer":
        """Of a checkpoint's folder.

        Raises:
            LaunchError: it is not there, or is none.
        """
        path = folder / TOKENIZER_FILE
        try:
            return _read(path, path.stat().st_mtime_ns)
        except FileNotFoundError:
            raise LaunchError(f"{path} is missing: {AGAIN}, or give a complete Hugging Face model folder") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LaunchError(f"{path}: no tokenizer that can be read ({error!r}): {AGAIN}") from None

    @property
    def ids(self) -> dict[str, int]:
        return {**self.text_ids, **dict(self.added_ids)}

    def stop_token_ids(self) -> tuple[int, int]:
        """Ids of end of speech and end of turn.

        Raises:
            LaunchError: it does not know them, so it is no Orpheus checkpoint.
        """
        ids = self.ids
        self._require_known((END_OF_SPEECH, END_OF_TURN), ids)
        return ids[END_OF_SPEECH], ids[END_OF_TURN]

    def check(self) -> None:
        """
        Raises:
            LaunchError: a token is missing, not one token, or not where Orpheus has it; or text gets lost.
        """
        self._require_known(CONTROLS, self.ids)
        self._check_added()
        self._check_codes()
        if self.is_byte_level:
            self._check_round_trip(ROUND_TRIP)

    def _require_known(self, tokens: Iterable[str], ids: Mapping[str, int]) -> None:
        if missing := [token for token in tokens if token not in ids]:
            raise LaunchError(f"{self.path}: knows no {missing[0]}: this is not an Orpheus checkpoint")

    def _check_added(self) -> None:
        """Each token of Orpheus is found as one, under one id that is its own."""
        added: dict[str, int] = {}
        for token, number in self.added_ids:
            if added.setdefault(token, number) != number:
                raise LaunchError(f"{self.path}: {token} has two ids, {added[token]} and {number}: {AGAIN}")
        for token in self.text_ids:
            if _CUSTOM.fullmatch(token) and token not in added:
                raise LaunchError(f"{self.path}: {token} is no added token, so text would cut it up: {AGAIN}")
        owners: dict[int, str] = {}
        for token, number in added.items():
            if owners.setdefault(number, token) != token:
                raise LaunchError(f"{self.path}: {owners[number]} and {token} have one id, {number}: {AGAIN}")

    def _check_codes(self) -> None:
        numbers = {int(match[1]): i for token, i in self.added_ids if (match := _CUSTOM.fullmatch(token))}
        if len(self.text_ids) >= LLAMA_TEXT_IDS:
            self._check_released(numbers)
        for slot in range(TOKENS_PER_FRAME):
            first = FIRST_CODE_TOKEN + slot * CODES_PER_SLOT
            of_slot = [(n, numbers[n]) for n in range(first, first + CODES_PER_SLOT) if n in numbers]
            if not of_slot:
                raise LaunchError(
                    f"{self.path}: knows no audio token of slot {slot}: this is not an Orpheus checkpoint"
                )
            for (left, left_id), (right, right_id) in pairwise(of_slot):
                if left_id >= right_id:
                    raise LaunchError(
                        f"{self.path}: <custom_token_{left}> has id {left_id} and <custom_token_{right}> {right_id}, "
                        f"which must ascend: {AGAIN}"
                    )

    def _check_released(self, numbers: Mapping[int, int]) -> None:
        """All ids are Orpheus's own."""
        for n in CODE_NUMBERS:
            if n not in numbers:
                raise LaunchError(f"{self.path}: knows no <custom_token_{n}>: {AGAIN}")
        for n, number in numbers.items():
            if number != FIRST_CUSTOM_ID + n:
                raise LaunchError(
                    f"{self.path}: <custom_token_{n}> has id {number}, Orpheus's is {FIRST_CUSTOM_ID + n}: {AGAIN}"
                )

    def _check_round_trip(self, text: str) -> None:
        letters = byte_letters()
        pieces = _merged([letters[byte] for byte in text.encode()], self.merges)
        if unknown := [piece for piece in pieces if piece not in self.text_ids]:
            raise LaunchError(
                f"{self.path}: is byte-level, but has no token {unknown[0]!r}, so {text!r} cannot be written: {AGAIN}"
            )
        tokens = {number: token for token, number in self.text_ids.items()}
        bytes_of = {letter: byte for byte, letter in letters.items()}
        back = bytes(bytes_of[letter] for piece in pieces for letter in tokens[self.text_ids[piece]])
        if back.decode(errors="replace") != text:
            raise LaunchError(f"{self.path}: {text!r} comes back as {back.decode(errors='replace')!r}: {AGAIN}")


@lru_cache(maxsize=8)
def _read(path: Path, _changed_ns: int) -> Tokenizer:
    """A start needs it three times, and the released one has 20 MB."""
    table = json.loads(path.read_text(encoding="utf-8"))
    return Tokenizer(
        path=path,
        text_ids=table["model"]["vocab"],
        added_ids=tuple((token["content"], token["id"]) for token in table["added_tokens"]),
        merges=tuple(map(_pair, table["model"].get("merges") or ())),
        is_byte_level=_names(table.get("pre_tokenizer"), "ByteLevel"),
    )


def byte_letters() -> dict[int, str]:
    """The letter that byte-level tokenizers write each byte with: itself where it can be seen, else one from 256 on."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}


def _merged(pieces: list[str], merges: Iterable[tuple[str, str]]) -> list[str]:
    """Byte-pair encoding: always the earliest merge that applies."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    while found := [(ranks[pair], place) for place, pair in enumerate(pairwise(pieces)) if pair in ranks]:
        _, place = min(found)
        pieces = [*pieces[:place], pieces[place] + pieces[place + 1], *pieces[place + 2 :]]
    return pieces


def _pair(merge: Any) -> tuple[str, str]:
    """Older files write a merge as one text, newer ones as two."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _names(part: Any, kind: str) -> bool:
    """Whether a part of the file is of that type, or a sequence that holds one."""
    if isinstance(part, dict):
        return part.get("type") == kind or any(_names(inner, kind) for inner in part.get("pretokenizers", ()))
    return False
