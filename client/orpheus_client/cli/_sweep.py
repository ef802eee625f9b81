"""The rated load: rates of arrival one after another, as long as listeners are well served."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orpheus_client.cli._figures import Figures
from orpheus_client.line_chart import Chart, Line, svg


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a load must keep to be one that the server bears.

    No request may fail either: a refused one would only better the figures of the others.
    """

    first_audio_ms: float
    """Of the 99th percentile."""
    stalled_percent: float

    def broken_by(self, result: Figures) -> list[str]:
        """What does not hold, for people; nothing if all does."""
        broken = []
        if failed := result.requests - result.spoken:
            broken.append(f"{failed} of {result.requests} not spoken")
        p99 = result.first_audio_ms.p99
        if p99 is not None and p99 > self.first_audio_ms:
            broken.append(f"p99 of first audio {p99:.0f} ms")
        if result.stalled_percent > self.stalled_percent:
            broken.append(f"stalled {result.stalled_percent:.2f} % of the audio")
        return broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One rate of arrival."""

    arrivals_hz: float
    result: Figures
    broken: tuple[str, ...]
    """The limits that did not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The rates that were tried, in order; the last one is the first that broke a limit, if any did."""

    limits: Limits
    points: tuple[Point, ...]

    @property
    def rated_hz(self) -> float | None:
        """The highest rate at which every limit held; None if it was none of them."""
        return max((point.arrivals_hz for point in self.points if not point.broken), default=None)

    def as_json(self) -> dict[str, Any]:
        """The curve."""
        points = [{"arrivals_hz": p.arrivals_hz, "broken": list(p.broken), **asdict(p.result)} for p in self.points]
        return {"limits": asdict(self.limits), "rated_hz": self.rated_hz, "points": points}

    def as_svg(self) -> str:
        """A picture of the curve: first audio and stalls over the rate, each with its limit."""
        results = [point.result for point in self.points]
        first = tuple(
            Line(name=name, values=tuple(getattr(result.first_audio_ms, name) for result in results))
            for name in ("p50", "p95", "p99")
        )
        stalled = Line(name="stalled", values=tuple(result.stalled_percent for result in results))
        return svg(
            [
                self._chart("First audio", "ms", first, self.limits.first_audio_ms),
                self._chart("Time without sound within a speech", "%", (stalled,), self.limits.stalled_percent),
            ]
        )

    def _chart(self, title: str, y_name: str, lines: tuple[Line, ...], limit: float) -> Chart:
        return Chart(
            title=title,
            x_name="new streams a second",
            y_name=y_name,
            places=tuple(point.arrivals_hz for point in self.points),
            lines=lines,
            limit=limit,
        )


async def sweep(put: Callable[[float], Awaitable[Figures]], rates_hz: Sequence[float], limits: Limits) -> Sweep:
    """Tries the rates from the lowest up, and no further than the first that breaks a limit.

    Args:
        put: puts the load of a rate on the server, and returns when its last stream has ended.
    """
    points: list[Point] = []
    for rate_hz in sorted(set(rates_hz)):
        result = await put(rate_hz)
        points.append(Point(arrivals_hz=rate_hz, result=result, broken=tuple(limits.broken_by(result))))
        if points[-1].broken:
            break
    return Sweep(limits=limits, points=tuple(points))
