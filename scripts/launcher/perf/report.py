"""The figures of a sweep for people and programs: a table, JSON, a picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path

from launcher.perf.configuration import Configuration, Mode
from launcher.perf.figures import Level, Spread
from orpheus_client.line_chart import Chart, Line, svg

TABLE_FILE, JSON_FILE, PICTURE_FILE = "figures.txt", "figures.json", "figures.svg"
FIGURES = {
    "first_response_ms": "first response, ms",
    "inter_response_ms": "between responses, ms",
    "last_response_ms": "last response, ms",
}
LEVELS: dict[Mode, str] = {"concurrency": "requests at once", "request_rate": "requests a second"}
PERCENT_NAMES = tuple(field.name for field in fields(Spread))


def table(levels: Sequence[Level]) -> str:
    """Lines for a terminal, one for each level and figure."""
    heading = f"{LEVELS[levels[0].mode]:>20}  {'answered':>8}  {'':22}" + "".join(f"{p:>10}" for p in PERCENT_NAMES)
    return "\n".join([heading, *(line for level in levels for line in _lines(level))])


def write_report(folder: Path, configuration: Configuration, version: str, levels: Sequence[Level]) -> None:
    """Writes the table, the JSON and the picture into `folder`."""
    document = {
        "configuration": configuration.name,
        "model": configuration.model,
        "analyzer": version,
        "levels": [asdict(level) for level in levels],
    }
    (folder / JSON_FILE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (folder / TABLE_FILE).write_text(table(levels) + "\n", encoding="utf-8")
    (folder / PICTURE_FILE).write_text(picture(configuration, levels), encoding="utf-8")


def picture(configuration: Configuration, levels: Sequence[Level]) -> str:
    """A chart for each figure that there is, as SVG."""
    return svg([_chart(configuration, levels, name) for name in FIGURES if getattr(levels[0], name).p50 is not None])


def _chart(configuration: Configuration, levels: Sequence[Level], name: str) -> Chart:
    spreads: list[Spread] = [getattr(level, name) for level in levels]
    return Chart(
        title=f"{configuration.name}: {FIGURES[name]}",
        x_name=LEVELS[configuration.mode],
        y_name="ms",
        places=tuple(level.value for level in levels),
        lines=tuple(
            Line(name=percent, values=tuple(getattr(spread, percent) for spread in spreads))
            for percent in PERCENT_NAMES
        ),
    )


def _lines(level: Level) -> list[str]:
    opening = f"{level.value:>20g}  {level.requests:>8}"
    lines = []
    for name, title in FIGURES.items():
        cells = "".join(f"{'-' if value is None else f'{value:.1f}':>10}" for value in astuple(getattr(level, name)))
        lines.append(f"{opening:30}  {title:22}{cells}")
        opening = ""
    return lines
