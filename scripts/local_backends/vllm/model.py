"""The Triton backend `vllm` in Python, with the contract of NVIDIA's own, for a machine without NVIDIA's image.

`model.json` beside the model's files holds vLLM's `AsyncEngineArgs`. Decoupled, `max_batch_size: 0`.

| input                                       | type, shape         | meaning                                          |
|---------------------------------------------|---------------------|--------------------------------------------------|
| `text_input`                                | STRING [1]          | the prompt; the tokenizer adds its own start     |
| `stream`                                    | BOOL [1], optional  | false: one response with everything              |
| `sampling_parameters`                       | STRING [1], opt.    | JSON object; absent: the request's parameters    |
| `exclude_input_in_output`                   | BOOL [1], optional  | false (default unless streaming): prompt first   |
| `return_finish_reason`                      | BOOL [1], optional  | adds `finish_reason`                             |
| `return_cumulative_logprob`                 | BOOL [1], optional  | adds `cumulative_logprob`                        |
| `return_logprobs`                           | BOOL [1], optional  | adds `logprobs`                                  |
| `return_num_input_tokens`                   | BOOL [1], optional  | adds `num_input_tokens`                          |
| `return_num_output_tokens`                  | BOOL [1], optional  | adds `num_output_tokens`                         |
| `image`, `embedding_request`                | STRING              | refused with INVALID_ARG                         |

| output               | type, shape | in each response                                                                |
|----------------------|-------------|---------------------------------------------------------------------------------|
| `text_output`        | STRING [1]  | the text since the response before                                              |
| `finish_reason`      | STRING [1]  | `stop` or `length` in the last one, before it `None`                            |
| `cumulative_logprob` | FP32 [1]    | of everything so far                                                            |
| `logprobs`           | STRING [1]  | JSON list, one object of id → logprob, rank, decoded_token for each new token   |
| `num_input_tokens`   | UINT32 [1]  | tokens of the prompt                                                            |
| `num_output_tokens`  | UINT32 [1]  | tokens since the response before, those without text included                   |

| parameter               | meaning                                                                     | default |
|-------------------------|-----------------------------------------------------------------------------|---------|
| `RESPONSE_TOKENS`       | tokens to a response of a stream, at least; 1 answers each engine step      | 7       |
| `REPORT_CUSTOM_METRICS` | `true`: vLLM's figures on Triton's metrics page                             | false   |

A stream ends with one response that has the FINAL flag: the last text, or an error alone. A request whose caller is
gone ends with CANCELLED and leaves the engine. So does one that is named by a further request with the same id, the
request parameter `cancel` true and an empty `text_input`; that request itself ends with an empty FINAL, and it may come
first. With the request parameter `fetch` every request gets one response (`llm_backend.fetches`). Adapters
(`lora_name`), several outputs (`n`) and guided decoding are not served: INVALID_ARG.
"""

from llm_backend.backend import TritonPythonModel

__all__ = ["TritonPythonModel"]
