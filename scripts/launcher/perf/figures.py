"""The figures of a level: what a caller waits for, in milliseconds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from launcher.perf.configuration import Mode
from launcher.perf.export import Exchange

PERCENTS = (50, 90, 95, 99)
NS_PER_MS = 1e6
NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Percentiles; None where there is nothing to take them of."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level of a sweep."""

    mode: Mode
    value: float
    requests: int
    """That were answered."""
    responses: int
    wall_s: float
    """From the first request to the last response."""
    requests_per_s: float
    first_response_ms: Spread
    """From sending a request to its first response: the first audio of a speech."""
    inter_response_ms: Spread
    """Between one response and the next of the same request; none where each request has one response."""
    last_response_ms: Spread
    """From sending a request to its last response, which is what perf_analyzer itself calls latency."""


def level_figures(exchanges: Sequence[Exchange], *, mode: Mode, value: float) -> Level:
    """The figures of at least one exchange."""
    began_ns = min(exchange.sent_ns for exchange in exchanges)
    wall_s = (max(exchange.arrived_ns[-1] for exchange in exchanges) - began_ns) / NS_PER_S
    return Level(
        mode=mode,
        value=value,
        requests=len(exchanges),
        responses=sum(len(exchange.arrived_ns) for exchange in exchanges),
        wall_s=round(wall_s, 3),
        requests_per_s=round(len(exchanges) / wall_s, 3) if wall_s else 0.0,
        first_response_ms=_spread(exchange.arrived_ns[0] - exchange.sent_ns for exchange in exchanges),
        inter_response_ms=_spread(b - a for exchange in exchanges for a, b in pairwise(exchange.arrived_ns)),
        last_response_ms=_spread(exchange.arrived_ns[-1] - exchange.sent_ns for exchange in exchanges),
    )


def _spread(values_ns: Iterable[int]) -> Spread:
    known = list(values_ns)
    if not known:
        return Spread(p50=None, p90=None, p95=None, p99=None)
    p50, p90, p95, p99 = (round(float(value) / NS_PER_MS, 2) for value in np.percentile(known, PERCENTS))
    return Spread(p50=p50, p90=p90, p95=p95, p99=p99)
