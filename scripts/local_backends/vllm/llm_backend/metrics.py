"""vLLM's figures on Triton's metrics page, under the names of NVIDIA's backend."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import triton_python_backend_utils as pb_utils

FLUSH_INTERVAL_S = 0.5
MAX_WAITING_OBSERVATIONS = 4096
"""Between two flushes; more are dropped."""

RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
LATENCY_BUCKETS_S = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0)
TOKEN_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the page."""

    kind: Literal["COUNTER", "GAUGE", "HISTOGRAM"]
    description: str
    buckets: Sequence[float] = ()


METRICS: Mapping[str, Metric] = {
    RUNNING: Metric("GAUGE", "Requests that the engine works on."),
    WAITING: Metric("GAUGE", "Requests that wait for a place in the engine."),
    "vllm:prompt_tokens_total": Metric("COUNTER", "Tokens of prompts processed."),
    "vllm:generation_tokens_total": Metric("COUNTER", "Tokens generated."),
    "vllm:num_preemptions_total": Metric("COUNTER", "Requests put back for lack of memory."),
    "vllm:time_to_first_token_seconds": Metric(
        "HISTOGRAM",
        "Time to the first token.",
        (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    ),
    "vllm:time_per_output_token_seconds": Metric(
        "HISTOGRAM",
        "A request's mean time for a token after the first.",
        (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
    ),
    "vllm:e2e_request_latency_seconds": Metric("HISTOGRAM", "Whole time of a request.", LATENCY_BUCKETS_S),
    "vllm:request_prompt_tokens": Metric("HISTOGRAM", "Tokens of a request's prompt.", TOKEN_BUCKETS),
    "vllm:request_generation_tokens": Metric("HISTOGRAM", "Tokens generated for a request.", TOKEN_BUCKETS),
    "vllm:request_params_n": Metric("HISTOGRAM", "Outputs that a request asks for.", (1, 2, 5, 10, 20)),
}


class Statistics:
    """A stat logger in vLLM's sense: gathers on the engine's loop, where nothing may wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._observations: list[tuple[str, float]] = []
        self._gauges: dict[str, int] = {}

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any,
        mm_cache_stats: object = None,  # noqa: ARG002  (vLLM's interface)
        engine_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Called by vLLM after each engine step; either may be None."""
        with self._lock:
            if scheduler_stats is not None:
                self._gauges = {RUNNING: scheduler_stats.num_running_reqs, WAITING: scheduler_stats.num_waiting_reqs}
            if iteration_stats is not None:
                self._count(iteration_stats)

    def log_engine_initialized(self) -> None:
        """Part of vLLM's interface."""

    def log(self) -> None:
        """Part of vLLM's interface."""

    def record_sleep_state(self, is_awake: int, level: int) -> None:
        """Part of vLLM's interface."""

    def take(self) -> tuple[dict[str, int], list[tuple[str, float]], dict[str, int]]:
        """What was counted and observed since the last call, and the gauges of the last step."""
        with self._lock:
            counts, self._counts = dict(self._counts), Counter()
            observations, self._observations = self._observations, []
            return counts, observations, dict(self._gauges)

    def _count(self, stats: Any) -> None:
        self._counts["vllm:prompt_tokens_total"] += stats.num_prompt_tokens
        self._counts["vllm:generation_tokens_total"] += stats.num_generation_tokens
        self._counts["vllm:num_preemptions_total"] += stats.num_preempted_reqs
        self._observe("vllm:time_to_first_token_seconds", stats.time_to_first_tokens_iter)
        self._observe("vllm:request_params_n", stats.n_params_iter)
        for request in stats.finished_requests:
            self._observe("vllm:e2e_request_latency_seconds", [request.e2e_latency])
            self._observe("vllm:request_prompt_tokens", [request.num_prompt_tokens])
            self._observe("vllm:request_generation_tokens", [request.num_generation_tokens])
            if request.num_generation_tokens > 1:
                self._observe("vllm:time_per_output_token_seconds", [request.mean_time_per_output_token])

    def _observe(self, name: str, values: Sequence[float]) -> None:
        room = MAX_WAITING_OBSERVATIONS - len(self._observations)
        self._observations += [(name, value) for value in values[:room]]


class Reporter:
    """A thread that passes statistics on to Triton, each of whose calls is a round trip to the server.

    Args:
        live: how many requests there are. vLLM says nothing after its last request was aborted, so with none the gauges
            are zero.

    Raises:
        TritonModelException: this server reports no metrics.
    """

    def __init__(self, statistics: Statistics, labels: Mapping[str, str], live: Callable[[], int]) -> None:
        self._statistics = statistics
        self._live = live
        # A family must outlive its metrics.
        self._families = {name: _family(name, metric) for name, metric in METRICS.items()}
        self._metrics = {name: _metric(family, name, labels) for name, family in self._families.items()}
        self._shown: dict[str, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="metrics", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Takes the metrics off the page."""
        self._stopping.set()
        self._thread.join(timeout_s)
        # Left to the interpreter's end they would be taken off through a server that is gone, which crashes it.
        self._metrics.clear()
        self._families.clear()

    def _work(self) -> None:
        while not self._stopping.wait(FLUSH_INTERVAL_S):
            self._flush()

    def _flush(self) -> None:
        counts, observations, gauges = self._statistics.take()
        for name, count in counts.items():
            if count:
                self._metrics[name].increment(count)
        for name, value in observations:
            self._metrics[name].observe(value)
        for name, value in gauges.items():
            self._show(name, value if self._live() else 0)

    def _show(self, name: str, value: int) -> None:
        if self._shown.get(name) != value:
            self._metrics[name].set(value)
            self._shown[name] = value


def _family(name: str, metric: Metric) -> Any:
    kind = getattr(pb_utils.MetricFamily, metric.kind)
    return pb_utils.MetricFamily(name=name, description=metric.description, kind=kind)


def _metric(family: Any, name: str, labels: Mapping[str, str]) -> Any:
    buckets = METRICS[name].buckets
    return family.Metric(labels=dict(labels), **({"buckets": list(buckets)} if buckets else {}))
