"""Triton model `orpheus_tts`: text in, 24 kHz speech out in chunks. Decoupled, `max_batch_size: 0`.

| input                | dtype, shape        | unit, range, default |
|----------------------|---------------------|----------------------------------|
| `text`               | STRING [1]          | 1 .. `max_text_chars` characters of the checkpoint |
| `voice`              | STRING [1] optional | a voice of a loaded checkpoint; default the checkpoint's |
| `language`           | STRING [1] optional | BCP-47, matched by primary subtag |
| `temperature`        | FP32 [1] optional   | 0.1 .. 1.5; default the checkpoint's |
| `top_p`              | FP32 [1] optional   | 0.05 .. 1; default the checkpoint's |
| `repetition_penalty` | FP32 [1] optional   | 1 .. 2; default the checkpoint's |
| `seed`               | INT64 [1] optional  | 0 or more |
| `max_seconds`        | FP32 [1] optional   | 0.2 .. 60, in whole frames of 85.3 ms; default from the text's length |
| `reference_text`     | STRING [1] optional | with `reference_codes` or not at all: a voice to clone |
| `reference_codes`    | INT32 [-1] optional | 7 codes a frame, slot order, 0 .. 4095 |
| `trim_silence`       | BOOL [1] optional   | true: the quiet opening is not sent |

| output          | dtype, shape | when                                                            |
|-----------------|--------------|-----------------------------------------------------------------|
| `audio`         | INT16 [-1]   | every response; contiguous, 24 kHz mono                         |
| `is_final`      | BOOL [1]     | every response; true exactly once                               |
| `finish_reason` | STRING [1]   | the final response: `stop`, `length`, `loop`                    |
| `stats`         | STRING [1]   | the final response: JSON, the fields of `orpheus_bls.report`    |

A stream ends in exactly one of two ways: a response with all four outputs and Triton's FINAL flag, or one error with
that flag and no outputs. The request parameter `probe` makes a short utterance in a slot of its own that no metric
counts.
"""

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orpheus_bls.outlet import Outlet
from orpheus_bls.service import Service
from orpheus_bls.settings import read_settings
from orpheus_bls.slots import Slots
from orpheus_bls.triton_metrics import TritonMetrics
from orpheus_bls.triton_models import TritonModels
from orpheus_bls.triton_wire import TritonWire, read


class TritonPythonModel:
    """One instance: its streams run in threads of their own."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """
        Raises:
            InvalidInput: a parameter or a lexicon that cannot be; Triton then refuses to load the model.
        """
        settings = read_settings(args["model_config"], Path(__file__).parent)
        slots = Slots(settings.max_streams, settings.thread_pool_size)
        self._service = Service(settings, TritonModels(), TritonMetrics(settings.max_streams), slots)

    def execute(self, requests: Sequence[Any]) -> None:
        """Returns at once; what is wrong with a request is answered here, the rest by its stream."""
        for request in requests:
            self._service.accept(read(request), Outlet(TritonWire(request)))

    def finalize(self) -> None:
        """Ends what is live."""
        self._service.close()
        # Custom metrics that are left to the interpreter's end crash the process of Triton 24.10.
        del self._service
        gc.collect()
