"""The streams of `orpheus_tts`: threads, deadlines and ends around the pure core.

Only `triton_wire`, `triton_models` and `triton_metrics` know Triton. The path of one sentence: `service` checks and
admits it, `feed` makes frames of what the language model writes, `speaker` takes, decodes and sends them by `outlet`:
one thread for each `stream`. `watchdog` ends what is late or cancelled, `canceller` stops language models that nobody
listens to any more.
"""
