"""The `sampling_parameters` of a request: what they may say, checked before the engine sees them.

The engine works on all requests in one batch, and a value that it cannot put into its tensors ends it with all of them.
So types and ranges are checked here, also where vLLM would let them pass.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from llm_backend.errors import InvalidInput, shown

FIELD = "sampling_parameters"
INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
MAX_LISTED = 4096
"""Entries of a list or table of tokens or words."""

Check = Callable[[Any], Any]
"""The value as vLLM takes it; ValueError tells what it should be."""


def read_sampling(text: str) -> dict[str, Any]:
    """Keyword arguments for vLLM's `SamplingParams`. A key that is null counts as absent.

    Raises:
        InvalidInput: no JSON object, an unknown key, or a value of the wrong type or range.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{FIELD}: {shown(text)}: send a JSON object ({error})") from None
    if not isinstance(given, dict):
        raise InvalidInput(f"{FIELD}: {shown(given)}: send a JSON object")
    return {key: _checked(key, value) for key, value in given.items() if value is not None}


def check_token_ids(sampling: Mapping[str, Any], vocabulary: int) -> None:
    """
    Raises:
        InvalidInput: a token id that the model does not have.
    """
    for key in ("stop_token_ids", "allowed_token_ids", "logit_bias"):
        for token_id in sampling.get(key, ()):
            if not 0 <= token_id < vocabulary:
                raise InvalidInput(f"{FIELD}.{key}: {token_id}: this model's tokens are 0 to {vocabulary - 1}")


def _checked(key: str, value: object) -> Any:
    if key == "lora_name":
        raise InvalidInput(f"{FIELD}.lora_name: {shown(value)}: adapters are not served here, leave it out")
    if key not in CHECKS:
        raise InvalidInput(f"{FIELD}: {shown(key)}: no such key; there are {', '.join(sorted(CHECKS))}")
    try:
        return CHECKS[key](value)
    except ValueError as error:
        raise InvalidInput(f"{FIELD}.{key}: {shown(value)}: send {error}") from None


def _number(low: float, high: float, *, above: bool = False) -> Check:
    """A finite number; NVIDIA's own client sends it as a string. `above`: `low` itself is too low."""
    kind = f"a number {'above' if above else 'from'} {low:g} {'up ' if above else ''}to {high:g}"

    def check(value: object) -> float:
        number = _finite(value, kind)
        if not low <= number <= high or (above and number == low):
            raise ValueError(kind)
        return number

    return check


def _integer(low: int, high: int) -> Check:
    kind = f"a whole number from {low} to {high}"

    def check(value: object) -> int:
        number = _whole(value)
        if number is None or not low <= number <= high:
            raise ValueError(kind)
        return number

    return check


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _token_ids(value: object) -> list[int]:
    numbers = [_whole(item) for item in _listed(value, "a list of token ids")]
    if any(number is None for number in numbers):
        raise ValueError("a list of token ids")
    return [number for number in numbers if number is not None]


def _words(value: object) -> list[str]:
    kind = "a string or a list of strings, none of them empty"
    items = [value] if isinstance(value, str) else _listed(value, kind)
    if not all(isinstance(item, str) and item for item in items):
        raise ValueError(kind)
    return list(items)


def _biases(value: object) -> dict[int, float]:
    kind = "an object of token ids with numbers from -100 to 100"
    if not isinstance(value, dict) or len(value) > MAX_LISTED:
        raise ValueError(kind)
    biases = {_whole(key): _finite(bias, kind) for key, bias in value.items()}
    if not all(-100 <= bias <= 100 for bias in biases.values()):
        raise ValueError(kind)
    if None in biases:
        raise ValueError(kind)
    return {token_id: bias for token_id, bias in biases.items() if token_id is not None}


def _only_one(value: object) -> int:
    if _whole(value) != 1:
        raise ValueError("1, or leave it out")
    return 1


def _listed(value: object, kind: str) -> Iterable[Any]:
    if not isinstance(value, list):
        raise ValueError(kind)
    if len(value) > MAX_LISTED:
        raise ValueError(f"{kind}, at most {MAX_LISTED}")
    return value


def _finite(value: object, kind: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(kind)
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(kind) from None
    if not math.isfinite(number):
        raise ValueError(kind)
    return number


def _whole(value: object) -> int | None:
    if isinstance(value, str) and len(value) <= len(str(-INT64_MAX)) and value.removeprefix("-").isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


CHECKS: Mapping[str, Check] = {
    "allowed_token_ids": _token_ids,
    "bad_words": _words,
    "detokenize": _flag,
    "frequency_penalty": _number(-2, 2),
    "ignore_eos": _flag,
    "include_stop_str_in_output": _flag,
    "logit_bias": _biases,
    "logprobs": _integer(0, 20),
    "max_tokens": _integer(1, INT32_MAX),
    "min_p": _number(0, 1),
    "min_tokens": _integer(0, INT32_MAX),
    "n": _only_one,
    "presence_penalty": _number(-2, 2),
    "repetition_penalty": _number(0, 10, above=True),
    "seed": _integer(-1, INT64_MAX),
    "skip_special_tokens": _flag,
    "spaces_between_special_tokens": _flag,
    "stop": _words,
    "stop_token_ids": _token_ids,
    "temperature": _number(0, 2),
    "top_k": _integer(-1, INT32_MAX),
    "top_p": _number(0, 1, above=True),
}
"""Every key that is passed on."""
