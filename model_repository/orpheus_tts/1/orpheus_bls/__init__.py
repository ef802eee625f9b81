"""The streams of `orpheus_tts`: threads, deadlines and ends around the pure core.

Only `triton_wire`, `triton_models` and `triton_metrics` know Triton. The path of one sentence: `service` checks and
admits it, `reader` parses what the language model writes into frames, `mailbox` hands them over, `speaker` decodes and
sends them by `outlet`. `watchdog` ends what is late or cancelled, `canceller` stops language models that nobody
listens to any more.
"""
