"""Inputs and outputs of the official contract, for a `config.pbtxt` that leaves them out."""

from typing import Any

OPTIONAL_FLAGS = (
    "stream",
    "exclude_input_in_output",
    "return_finish_reason",
    "return_cumulative_logprob",
    "return_logprobs",
    "return_num_input_tokens",
    "return_num_output_tokens",
)
INPUTS: tuple[dict[str, Any], ...] = (
    {"name": "text_input", "data_type": "TYPE_STRING", "dims": [1]},
    {"name": "image", "data_type": "TYPE_STRING", "dims": [-1], "optional": True},
    {"name": "sampling_parameters", "data_type": "TYPE_STRING", "dims": [1], "optional": True},
    *({"name": name, "data_type": "TYPE_BOOL", "dims": [1], "optional": True} for name in OPTIONAL_FLAGS),
    {"name": "embedding_request", "data_type": "TYPE_STRING", "dims": [1], "optional": True},
)
OUTPUTS: tuple[dict[str, Any], ...] = (
    {"name": "text_output", "data_type": "TYPE_STRING", "dims": [-1]},
    {"name": "finish_reason", "data_type": "TYPE_STRING", "dims": [-1]},
    {"name": "cumulative_logprob", "data_type": "TYPE_FP32", "dims": [-1]},
    {"name": "logprobs", "data_type": "TYPE_STRING", "dims": [-1]},
    {"name": "num_input_tokens", "data_type": "TYPE_UINT32", "dims": [1]},
    {"name": "num_output_tokens", "data_type": "TYPE_UINT32", "dims": [-1]},
)


def complete(config: Any) -> Any:
    """Adds what a model's configuration leaves out.

    Args:
        config: Triton's `ModelConfig` object, changed in place and returned.
    """
    table = config.as_dict()
    for entries, key, add in ((INPUTS, "input", config.add_input), (OUTPUTS, "output", config.add_output)):
        known = {entry["name"] for entry in table[key]}
        for entry in entries:
            if entry["name"] not in known:
                add(entry)
    config.set_model_transaction_policy({"decoupled": True})
    config.set_max_batch_size(0)
    return config
