"""Outcomes of a load as figures."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from orpheus_client.cli._load import Outcome

PERCENTS = (50, 95, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Percentiles of one figure over the streams that were spoken; None where there were none."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A load's result."""

    wall_s: float
    """From the first request to the end of the last stream."""
    requests: int
    spoken: int
    errors: dict[str, int]
    """By code of the error tree."""
    audio_s: float
    audio_s_per_s: float
    """Of all streams together."""
    first_audio_ms: Spread
    first_audible_ms: Spread
    real_time_factor: Spread
    """Seconds a stream took for a second of its audio; below 1 is faster than real time."""
    stalled_ms: Spread
    """How long the listener of a stream heard nothing in the middle of it."""
    stalls: int
    streams_with_stalls: int
    stalled_percent: float
    """Time without sound in the middle of a stream, of the seconds of audio, over all streams together."""
    each_first_audio_ms: tuple[float | None, ...]
    """Of every request in the order in which they ended; None without any: how a server warms up."""


def figures(outcomes: Sequence[Outcome], *, wall_s: float) -> Figures:
    """The figures of all outcomes; errors count as such and nowhere else."""
    spoken = [o for o in outcomes if o.error is None]
    audio_s = sum(o.audio_s for o in spoken)
    return Figures(
        wall_s=wall_s,
        requests=len(outcomes),
        spoken=len(spoken),
        errors=dict(Counter(o.error for o in outcomes if o.error is not None)),
        audio_s=audio_s,
        audio_s_per_s=audio_s / wall_s if wall_s else 0.0,
        first_audio_ms=_spread(o.first_audio_ms for o in spoken),
        first_audible_ms=_spread(o.first_audible_ms for o in spoken),
        real_time_factor=_spread(o.wall_s / o.audio_s for o in spoken if o.audio_s),
        stalled_ms=_spread(o.stalled_ms for o in spoken),
        stalls=sum(o.stalls for o in spoken),
        streams_with_stalls=sum(o.stalls > 0 for o in spoken),
        stalled_percent=sum(o.stalled_ms for o in spoken) / (10 * audio_s) if audio_s else 0.0,
        each_first_audio_ms=tuple(o.first_audio_ms for o in outcomes),
    )


def _spread(values: Iterable[float | None]) -> Spread:
    known = [value for value in values if value is not None]
    if not known:
        return Spread(p50=None, p95=None, p99=None, max=None)
    p50, p95, p99 = (float(p) for p in np.percentile(known, PERCENTS))
    return Spread(p50=p50, p95=p95, p99=p99, max=max(known))
