"""The rated load that the bench finds, in virtual time, and how it is drawn."""

import asyncio
from itertools import repeat
from xml.etree import ElementTree

import numpy as np
import pytest

from orpheus_client import AudioChunk, Busy, FakeEngine, FakeSpeech, SpeechOptions
from orpheus_client._stream import Events
from orpheus_client._tally import Tally
from orpheus_client.cli._figures import Figures, figures
from orpheus_client.cli._load import Outcome, measured, open_loop
from orpheus_client.cli._sweep import Limits, Sweep, sweep
from orpheus_client.line_chart import Chart, Line, svg
from orpheus_core.layout import SAMPLE_RATE_HZ
from unit.client_virtual_time import run

pytestmark = pytest.mark.unit

SECOND = np.full(SAMPLE_RATE_HZ, 5000, dtype=np.int16)
LIMITS = Limits(first_audio_ms=500, stalled_percent=0.1)
REQUESTS = 400
SVG = "{http://www.w3.org/2000/svg}"


class Seats(FakeEngine):
    """Speaks to so many at once; further ones wait."""

    def __init__(self, seats: int, *script: FakeSpeech) -> None:
        super().__init__(*script)
        self._seats = asyncio.Semaphore(seats)

    async def _events(self, text: str, options: SpeechOptions) -> Events:
        tally = Tally()
        async with self._seats:
            async for event in super()._events(text, options):
                if isinstance(event, AudioChunk):
                    yield tally.chunk(event.samples)
                else:
                    yield tally.result(event.finish_reason, event.stats)


def swept(engine: FakeEngine, *rates_hz: float, limits: Limits = LIMITS) -> Sweep:
    async def put(rate_hz: float) -> Figures:
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        outcomes: list[Outcome] = []

        async def request(text: str) -> None:
            outcomes.append(await measured(engine, text, SpeechOptions(), buffer_ms=60))

        await open_loop(request, repeat("x", REQUESTS), arrivals_hz=rate_hz, seed=1, refused=pytest.fail)
        return figures(outcomes, wall_s=loop.time() - started_at)

    return run(sweep(put, rates_hz, limits))


def spoken(first_audio_ms: float, *, stalled_ms: float = 0.0) -> Outcome:
    return Outcome(first_audio_ms=first_audio_ms, audio_s=10.0, wall_s=5.0, stalls=1, stalled_ms=stalled_ms)


def test_the_rated_load_is_the_highest_that_the_seats_bear() -> None:
    # 4 seats of 0.3 s each: 13.3 a second, beyond which whoever comes waits for all who came before.
    engine = Seats(4, FakeSpeech(chunks=(SECOND, SECOND), delay_s=0.1))
    result = swept(engine, 32, 16, 8, 4, 2)
    assert [point.arrivals_hz for point in result.points] == [2, 4, 8, 16]
    assert result.rated_hz == 8
    (broken,) = result.points[-1].broken
    assert broken.startswith("p99 of first audio ")
    p50 = [point.result.first_audio_ms.p50 for point in result.points]
    assert p50[0] == pytest.approx(100)
    assert p50[-1] is not None
    assert p50[-1] > 500
    assert engine.ended == 4 * REQUESTS


def test_the_same_sweep_gives_the_same_curve() -> None:
    curves = [swept(Seats(4, FakeSpeech(chunks=(SECOND,), delay_s=0.1)), 4, 8).as_json() for _ in range(2)]
    assert curves[0] == curves[1]


def test_a_load_that_stalls_its_listeners_is_none() -> None:
    # 100 ms of audio every 200 ms.
    result = swept(FakeEngine(FakeSpeech(chunks=(SECOND[:2400],) * 5, delay_s=0.2)), 1, 2)
    assert result.rated_hz is None
    (point,) = result.points
    # 60 ms of buffer bridge as much of the first of four gaps of 100 ms.
    assert point.result.stalled_percent == pytest.approx(100 * 0.34 / 0.5)
    assert point.broken == ("stalled 68.00 % of the audio",)
    lenient = Limits(first_audio_ms=500, stalled_percent=70)
    assert swept(FakeEngine(FakeSpeech(chunks=(SECOND[:2400],) * 5, delay_s=0.2)), 1, 2, limits=lenient).rated_hz == 2


def test_a_load_that_is_refused_is_none_however_quick_the_others_are() -> None:
    quick, refused = FakeSpeech(chunks=(SECOND,)), FakeSpeech(chunks=(), error=Busy("full: no"))
    result = swept(FakeEngine(*[quick] * (REQUESTS + 5), refused), 1, 2, 4)
    assert result.rated_hz == 1
    assert result.points[-1].broken == (f"{REQUESTS - 5} of {REQUESTS} not spoken",)


def test_limits_hold_up_to_and_with_their_value() -> None:
    at_it = figures([spoken(500, stalled_ms=10)], wall_s=1)
    assert at_it.stalled_percent == pytest.approx(0.1)
    assert Limits(first_audio_ms=500, stalled_percent=0.1 + 1e-9).broken_by(at_it) == []
    beyond = figures([spoken(500.5, stalled_ms=11)], wall_s=1)
    assert len(LIMITS.broken_by(beyond)) == 2


def test_nothing_spoken_breaks_a_limit_and_divides_by_nothing() -> None:
    nothing = figures([Outcome(failure=Busy("full: no"))], wall_s=1)
    assert nothing.stalled_percent == 0
    assert LIMITS.broken_by(nothing) == ["1 of 1 not spoken"]


def test_the_curve_is_drawn_with_its_limits() -> None:
    drawn = swept(Seats(4, FakeSpeech(chunks=(SECOND,), delay_s=0.1)), 1, 2, 4).as_svg()
    picture = ElementTree.fromstring(drawn)  # noqa: S314  (our own)
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"First audio", "p50", "p95", "p99", "stalled", "new streams a second"} <= set(words)
    broken_lines = [path for path in picture.iter(f"{SVG}path") if path.get("stroke-dasharray")]
    assert len(broken_lines) == 2
    assert [len(str(line.get("points")).split()) for line in picture.iter(f"{SVG}polyline")] == [3, 3, 3, 3]


def test_a_chart_puts_values_where_they_belong() -> None:
    line = Line(name="a < b", values=(0.0, None, 100.0, 50.0))
    chart = Chart(title="t", x_name="x", y_name="y", places=(1, 2, 4, 8), lines=(line,))
    picture = ElementTree.fromstring(svg([chart]))  # noqa: S314  (our own)
    (drawn,) = picture.iter(f"{SVG}polyline")
    points = [tuple(map(float, point.split(","))) for point in str(drawn.get("points")).split()]
    assert len(points) == 3
    (x0, y0), (x2, y2), (x3, y3) = points
    assert x0 < x2 < x3
    assert x3 - x2 == pytest.approx((x3 - x0) / 3, abs=0.1)
    assert y3 == pytest.approx((y0 + y2) / 2, abs=0.1)
    assert y2 < y0
    assert "a < b" in [text.text for text in picture.iter(f"{SVG}text")]


@pytest.mark.parametrize("values", [(), (None,), (0.0,), (1e-12,), (3e9, 1.0)])
def test_a_chart_of_next_to_nothing_is_one_still(values: tuple[float | None, ...]) -> None:
    line = Line(name="a", values=values)
    chart = Chart(title="t", x_name="x", y_name="y", places=tuple(range(len(values))), lines=(line,))
    assert "nan" not in svg([chart])
    ElementTree.fromstring(svg([chart]))  # noqa: S314  (our own)
