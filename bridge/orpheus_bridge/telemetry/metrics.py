"""Figures for Prometheus, and the same in short for `/stats`."""

import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

KEPT_LATENCIES = 1000
"""The latest ones, for the percentiles of `/stats`."""

LATENCY_BUCKETS_S = (
    *(0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3),
    *(0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSpeech:
    """One speech, when it is over."""

    api: str
    """Through which door it was asked for: `room`, `stream`, `json`, `openai`."""
    outcome: str
    """`ok`, `cancelled`, `interrupted`, or the code of an error."""
    audio_s: float
    first_audio_s: float | None
    """From the request to the first samples."""
    first_audible_s: float | None
    """From the request to the first samples that can be heard."""
    stalled_s: float
    """How long a listener without a buffer waited for samples in the middle of it."""


class Metrics:
    """The figures of one process; nothing in them says what was spoken, where, or by whom."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._started_s = time.monotonic()
        self._outcomes: Tally[str] = Tally()
        self._audio_s = 0.0
        self._first_audio_ms: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self._first_audible_ms: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self._requests = self._counter("requests", "Speeches that ended, by outcome", "api", "outcome")
        self._audio = self._counter("audio_seconds", "Speech that was spoken", "api")
        self._stalls = self._counter("stall_seconds", "Waiting of a listener without a buffer", "api")
        self._fallbacks = self._counter("voice_fallbacks", "Speeches in another voice than asked for")
        self._first_audio = self._histogram("first_audio_seconds", "Request to first samples")
        self._first_audible = self._histogram("first_audible_seconds", "Request to first audible samples")
        self._states = {name: self._gauge(name, meaning) for name, meaning in _STATES.items()}
        self._load = Gauge(
            "orpheus_bridge_triton_load_seconds", "Of a model, as Triton tells it", ["model"], registry=self.registry
        )

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        self._gauge(name, meaning).set_function(value)

    def watch_once_known(self, name: str, meaning: str, value: Callable[[], float | None]) -> None:
        """Likewise, and not shown while it is None: 0 would be a figure."""
        self.registry.register(_OnceKnown(f"orpheus_bridge_{name}", meaning, value))

    def ended(self, speech: EndedSpeech) -> None:
        """Counts one speech."""
        self._requests.labels(speech.api, speech.outcome).inc()
        self._audio.labels(speech.api).inc(speech.audio_s)
        self._stalls.labels(speech.api).inc(speech.stalled_s)
        self._outcomes[speech.outcome] += 1
        self._audio_s += speech.audio_s
        if speech.first_audio_s is not None:
            self._first_audio.labels(speech.api).observe(speech.first_audio_s)
            self._first_audio_ms.append(1000 * speech.first_audio_s)
        if speech.first_audible_s is not None:
            self._first_audible.labels(speech.api).observe(speech.first_audible_s)
            self._first_audible_ms.append(1000 * speech.first_audible_s)

    def fell_back(self) -> None:
        """A speech is spoken in another voice than the one asked for."""
        self._fallbacks.inc()

    def state(self, **values: float) -> None:
        """Sets gauges of `_STATES`."""
        for name, value in values.items():
            self._states[name].set(value)

    def model_loads(self, seconds: dict[str, float]) -> None:
        """How long Triton took to load each model."""
        for model, load_s in seconds.items():
            self._load.labels(model).set(load_s)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)

    def summary(self) -> dict[str, object]:
        """For `/stats`."""
        return {
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "requests": {"total": self._outcomes.total(), **self._outcomes},
            "audio_s": round(self._audio_s, 2),
            "first_audio_ms": _percentiles(self._first_audio_ms),
            "first_audible_ms": _percentiles(self._first_audible_ms),
        }

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"orpheus_bridge_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"orpheus_bridge_{name}", meaning, registry=self.registry)

    def _histogram(self, name: str, meaning: str) -> Histogram:
        return Histogram(f"orpheus_bridge_{name}", meaning, ["api"], registry=self.registry, buckets=LATENCY_BUCKETS_S)


class _OnceKnown(Collector):
    def __init__(self, name: str, meaning: str, value: Callable[[], float | None]) -> None:
        self._name = name
        self._meaning = meaning
        self._value = value

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if (value := self._value()) is not None:
            yield GaugeMetricFamily(self._name, self._meaning, value=value)


_STATES = {
    "database_connected": "1: the database answered",
    "voices": "Voices in the database",
    "voices_unspeakable": "Of these, such that cannot be spoken as themselves",
    "livekit_connected": "1: LiveKit answered within the last 30 s",
    "rooms": "Rooms that are joined",
}


def _percentiles(values_ms: Sequence[float]) -> dict[str, float | None]:
    ordered = sorted(values_ms)
    return {f"p{share}": _percentile(ordered, share) for share in (50, 95, 99)}


def _percentile(ordered: Sequence[float], share: int) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 1)
