"""Which token has which id: bytes, controls and Orpheus's audio tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tokenizers.pre_tokenizers import ByteLevel

from orpheus_core.layout import BEGIN_OF_TEXT, CODE_TOKEN_COUNT, END_OF_TURN, FIRST_CODE_TOKEN
from orpheus_core.tokens import TOKEN_START

END_OF_TEXT = "<|end_of_text|>"
AUDIO = "<|audio|>"

BYTES = tuple(sorted(ByteLevel.alphabet()))
"""The 256 bytes as byte-level tokenizers write them; the id of each is its place."""

CUSTOM_TOKENS = FIRST_CODE_TOKEN + CODE_TOKEN_COUNT + 1
"""`<custom_token_0>` .. `<custom_token_28682>`: Orpheus added one more than it uses."""

LLAMA_TEXT_IDS = 128_000
LLAMA_CONTROL_IDS = 256
LLAMA_CONTROLS = {0: BEGIN_OF_TEXT, 1: END_OF_TEXT, 9: END_OF_TURN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Ids in Orpheus's order: text, controls, custom tokens, `<|audio|>`."""

    text_ids: int
    """Bytes first, then ids that nothing is written with."""
    controls: tuple[str, ...]

    @property
    def size(self) -> int:
        return self.first_custom_id + CUSTOM_TOKENS + 1

    @property
    def first_custom_id(self) -> int:
        """Of `<custom_token_0>`."""
        return self.text_ids + len(self.controls)

    @property
    def first_code_id(self) -> int:
        """Of slot 0, code 0."""
        return self.first_custom_id + FIRST_CODE_TOKEN

    def plain_tokens(self) -> list[str]:
        """What stands after the controls; ordinary added tokens, as in Orpheus."""
        return [*(f"{TOKEN_START}{n}>" for n in range(CUSTOM_TOKENS)), AUDIO]

    def text_tokens(self) -> dict[str, int]:
        """Ids below the controls."""
        unused = (f"unused{n}" for n in range(len(BYTES), self.text_ids))
        return {token: number for number, token in enumerate((*BYTES, *unused))}

    def id_of(self, token: str) -> int:
        """
        Raises:
            ValueError: no control and no custom token.
        """
        if token in self.controls:
            return self.text_ids + self.controls.index(token)
        return self.first_custom_id + int(token.removeprefix(TOKEN_START).removesuffix(">"))


def small() -> Vocabulary:
    """About 29,000 ids: sampling with `top_p` sorts them all, which on a CPU takes longer than the model."""
    return Vocabulary(text_ids=len(BYTES), controls=tuple(LLAMA_CONTROLS.values()))


def full() -> Vocabulary:
    """Orpheus's 156,940 ids: `<custom_token_N>` is 128256 + N."""
    controls = (LLAMA_CONTROLS.get(n, f"<|reserved_special_token_{n}|>") for n in range(LLAMA_CONTROL_IDS))
    return Vocabulary(text_ids=LLAMA_TEXT_IDS, controls=tuple(controls))


VOCABULARIES: Mapping[str, Callable[[], Vocabulary]] = MappingProxyType({"small": small, "full": full})
"""By the names that the command knows."""
