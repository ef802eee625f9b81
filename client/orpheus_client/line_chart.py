"""Curves of a measurement as an SVG picture, without a plotting library.

A picture is one or more charts below each other. Each has an axis of y, from 0 up, and one of x that holds the measured
places at equal distances: levels of a load grow by doubling as a rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 40, 50
COLOURS = ("#1b6ca8", "#d1661a", "#2f8f4e", "#8a3ea8", "#a83e52", "#5a5a5a")
TICKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve: a value for each place of x, None where there is none."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Curves over the same places."""

    title: str
    x_name: str
    y_name: str
    places: tuple[float, ...]
    lines: tuple[Line, ...]
    limit: float | None = None
    """A value of y that is drawn as a broken line across."""


def svg(charts: Sequence[Chart]) -> str:
    """The picture, an SVG document."""
    panels = "".join(_panel(chart, offset=number * HEIGHT) for number, chart in enumerate(charts))
    height = HEIGHT * len(charts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="{WIDTH}" height="{height}" fill="white"/>\n'
        f"{panels}</svg>\n"
    )


def _panel(chart: Chart, *, offset: int) -> str:
    known = [value for line in chart.lines for value in line.values if value is not None]
    step = _step(max([*known, chart.limit or 0.0, 1e-9]))
    frame = _Frame(places=len(chart.places), top=step * ceil(max([*known, chart.limit or 0.0, step]) / step))
    parts = [
        f'<g transform="translate(0 {offset})">',
        _text(chart.title, LEFT, TOP - 18, size=14),
        *_axes(chart, frame, step),
        *(_curve(line, COLOURS[n % len(COLOURS)], frame, n) for n, line in enumerate(chart.lines)),
        "</g>\n",
    ]
    return "\n".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Where a value lies in the picture."""

    places: int
    top: float
    """Highest value of y."""

    def x(self, place: int) -> float:
        share = place / (self.places - 1) if self.places > 1 else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return TOP + (1 - value / self.top) * (HEIGHT - TOP - BOTTOM)


def _step(highest: float) -> float:
    """A round distance of ticks: 1, 2 or 5 times a power of ten."""
    raw = highest / TICKS
    power = 10.0 ** floor(log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)


def _axes(chart: Chart, frame: _Frame, step: float) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for tick in range(round(frame.top / step) + 1):
        y = frame.y(tick * step)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
        parts.append(_text(f"{tick * step:g}", LEFT - 6, y + 4, anchor="end"))
    for number, place in enumerate(chart.places):
        parts.append(_text(f"{place:g}", frame.x(number), bottom + 18, anchor="middle"))
    if chart.limit is not None:
        y = frame.y(chart.limit)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#b00" stroke-dasharray="6 4"/>')
    parts.append(f'<path d="M{LEFT} {TOP}V{bottom}H{right}" stroke="#444" fill="none"/>')
    parts.append(_text(chart.x_name, (LEFT + right) / 2, HEIGHT - 12, anchor="middle"))
    parts.append(_text(chart.y_name, LEFT - 6, TOP - 6, anchor="end"))
    return parts


def _curve(line: Line, colour: str, frame: _Frame, number: int) -> str:
    points = [(frame.x(place), frame.y(value)) for place, value in enumerate(line.values) if value is not None]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)
    named = _text(line.name, WIDTH - RIGHT + 12, TOP + 12 + 18 * number, colour=colour)
    return f'<polyline points="{path}" stroke="{colour}" stroke-width="2" fill="none"/>{dots}{named}'


def _text(text: str, x: float, y: float, *, size: int = 12, anchor: str = "start", colour: str = "#222") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}"'
    return f'<text {place} font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
