"""A request as it arrives, turned into what is to be generated."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_backend.errors import InvalidInput, shown
from llm_backend.sampling import read_sampling

CANCEL = "cancel"
"""Request parameter that makes a request the end of another one with the same id."""

FETCH = "fetch"
"""Request parameter of a caller that wants one response to each request (`fetches`)."""

AT_ONCE = "at_once"
"""Request parameter of a fetch that does not wait for more than there is."""

REFUSED_INPUTS = {
    "image": "this backend serves text only, leave it out",
    "embedding_request": "this backend generates only, leave it out",
}

Inputs = Mapping[str, Any]
"""First element of each input that was sent, by name: bytes or bool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """Which outputs are wanted beside the text."""

    finish_reason: bool = False
    cumulative_logprob: bool = False
    logprobs: bool = False
    num_input_tokens: bool = False
    num_output_tokens: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What is to be generated, and how it is to be answered."""

    prompt: str
    is_streamed: bool = False
    prompt_first: bool = False
    """Whether the answer begins with the prompt."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments for vLLM's `SamplingParams`."""
    extras: Extras = field(default_factory=Extras)


def is_cancel(parameters: str) -> bool:
    """Whether the request only ends another one.

    Args:
        parameters: the request's parameters, a JSON object or nothing.

    Raises:
        InvalidInput: `cancel` is no bool.
    """
    return _flag(parameters, CANCEL)


def is_fetch(parameters: str) -> bool:
    """Whether the request wants one response; so is one without text, for what came since.

    Raises:
        InvalidInput: `fetch` is no bool.
    """
    return _flag(parameters, FETCH)


def is_at_once(parameters: str) -> bool:
    """Whether a fetch wants what there is by now, which may be nothing.

    Raises:
        InvalidInput: `at_once` is no bool.
    """
    return _flag(parameters, AT_ONCE)


def read_extras(inputs: Inputs) -> Extras:
    """What the `return_` inputs ask for."""
    return Extras(**{name: bool(inputs.get(f"return_{name}", False)) for name in Extras.__dataclass_fields__})


def read_generation(inputs: Inputs, parameters: str) -> Generation:
    """
    Raises:
        InvalidInput: an input that cannot be, or that is not served.
    """
    for name, fix in REFUSED_INPUTS.items():
        if name in inputs:
            raise InvalidInput(f"{name}: {shown(inputs[name])}: {fix}")
    is_streamed = bool(inputs.get("stream", False))
    prompt_first = not inputs.get("exclude_input_in_output", is_streamed)
    if is_streamed and prompt_first:
        raise InvalidInput(
            "exclude_input_in_output: False: a stream never repeats its input, send true or leave it out"
        )
    return Generation(
        prompt=_text(inputs, "text_input"),
        is_streamed=is_streamed,
        prompt_first=prompt_first,
        sampling=read_sampling(_sampling_text(inputs, parameters)),
        extras=read_extras(inputs),
    )


def _sampling_text(inputs: Inputs, parameters: str) -> str:
    if "sampling_parameters" in inputs:
        return _text(inputs, "sampling_parameters")
    ours = (CANCEL, FETCH, AT_ONCE)
    return json.dumps({name: value for name, value in _parameters(parameters).items() if name not in ours})


def _flag(parameters: str, name: str) -> bool:
    value = _parameters(parameters).get(name, False)
    if not isinstance(value, bool):
        raise InvalidInput(f"parameter {name}: {shown(value)}: send true or leave it out")
    return value


def _text(inputs: Inputs, name: str) -> str:
    if name not in inputs:
        raise InvalidInput(f"{name}: absent: send it")
    try:
        return str(inputs[name], encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name}: not UTF-8 at byte {error.start}: send UTF-8") from None


def _parameters(text: str) -> dict[str, Any]:
    parameters = json.loads(text or "{}")
    return parameters if isinstance(parameters, dict) else {}
