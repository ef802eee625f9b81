"""Health, figures, voices' routes, readiness and admission."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from orpheus_bridge import runtime
from orpheus_bridge.admission import Admission
from orpheus_bridge.errors import Busy
from orpheus_bridge.fake_engine import FakeEngine
from orpheus_bridge.readiness import DOUBT_S, PROBE_S, PROOF_S, Readiness
from orpheus_bridge.settings import Settings
from orpheus_bridge.telemetry.metrics import Metrics
from orpheus_bridge.telemetry.triton import TritonMetrics, parse
from orpheus_client import Busy as ServerBusy
from orpheus_client import EngineDown, FakeSpeech
from unit.bridge_app import Bridge, client, running
from unit.client_virtual_time import run

pytestmark = pytest.mark.unit

LOAD, WARMUP = "orpheus_bridge_model_load_seconds", "orpheus_bridge_warmup_seconds"

TRITON_PAGE = """
# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.42
nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 25757220864
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 1.2e+10
nv_model_load_duration_secs{model="orpheus_llm",version="1"} 41.5
nv_inference_count{model="orpheus_tts",version="1"} 3
"""


@pytest.fixture(scope="module")
def bridge() -> Iterator[Bridge]:
    with running(Bridge()) as bridge:
        yield bridge


@pytest.fixture
async def http(bridge: Bridge) -> AsyncIterator[httpx.AsyncClient]:
    async with client(bridge) as http:
        yield http


async def test_health_has_the_old_fields(http: httpx.AsyncClient) -> None:
    answer = await http.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ok"
    assert body["mode"] == "orpheus_tts"
    assert body["model"] == "fake"
    assert body["model_type"] == "orpheus"
    assert body["supported_languages"] == ["en", "zh"]
    assert body["version"]
    assert (body["livekit_connected"], body["db_connected"]) == (True, True)
    assert body["gpu"] == {"available": False, "count": 0, "cards": []}


async def test_health_tells_of_a_server_that_is_away() -> None:
    class Away(FakeEngine):
        async def checkpoints(self) -> tuple[()]:
            raise EngineDown("engine: gone")

    with running(Bridge(engine=Away(FakeSpeech(chunks=(), error=EngineDown("engine: gone"))))) as bridge:
        async with client(bridge) as http:
            health = await http.get("/health")
            ready = await http.get("/health/ready")
            spoken = await http.post("/api/tts/synthesize", json={"text": "Hi."})
            models = await http.get("/v1/models")
    assert (health.status_code, health.json()["engine_connected"], health.json()["model"]) == (200, False, None)
    assert ready.status_code == spoken.status_code == models.status_code == 503
    assert ready.json() == {"status": "not_ready", "proof": "probe"}


async def test_figures_count_what_was_spoken() -> None:
    with running(Bridge()) as bridge:
        async with client(bridge) as http:
            for _ in range(3):
                await http.post("/api/tts/synthesize", json={"text": "Twelve chars"})
            await http.get("/health/ready")
            stats = (await http.get("/stats")).json()
            page = (await http.get("/metrics")).text
    spoken_s = 3 * 12 * 2048 / 24000
    assert stats["requests"] == {"total": 3, "ok": 3}
    assert stats["audio_s"] == pytest.approx(spoken_s, abs=0.01)
    assert 0 < stats["first_audio_ms"]["p50"] <= stats["first_audio_ms"]["p99"]
    figures = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert figures['orpheus_bridge_requests_total{api="json",outcome="ok"}'] == "3.0"
    assert float(figures['orpheus_bridge_audio_seconds_total{api="json"}']) == pytest.approx(spoken_s)
    assert figures['orpheus_bridge_first_audio_seconds_count{api="json"}'] == "3.0"
    assert figures['orpheus_bridge_first_audible_seconds_count{api="json"}'] == "3.0"
    assert figures["orpheus_bridge_database_connected"] == "1.0"
    assert "Twelve" not in page


async def test_voices_are_registered_listed_and_deleted(http: httpx.AsyncClient) -> None:
    form = {"voice_id": "mum", "voice_name": "Mum", "ignored": "x"}
    made = await http.post("/api/voices/clone", data=form, files={"file": ("mum.wav", b"RIFF")})
    assert made.status_code == 200
    assert made.json()["status"] == "success"
    assert (made.json()["voice_id"], made.json()["voice_name"]) == ("mum", "Mum")
    assert made.json()["message"]
    again = await http.post("/api/voices/clone", data=form, files={"file": ("mum.wav", b"RIFF")})
    assert again.status_code == 409
    listed = (await http.get("/api/voices")).json()
    assert listed["total"] == len(listed["voices"])
    mum = next(voice for voice in listed["voices"] if voice["voice_id"] == "mum")
    assert mum["name"] == "Mum"
    assert mum["created_at"]
    told = await http.put("/api/voices/mum/transcript", json={"transcript": "Hello dear."})
    assert told.status_code == 200
    spoken = await http.post("/api/tts/synthesize", json={"text": "Hi.", "voice_id": "mum"})
    assert (spoken.status_code, spoken.json()["voice"]) == (200, "mum")
    gone = await http.delete("/api/voices/mum")
    assert (gone.status_code, gone.json()["status"]) == (200, "success")
    assert (await http.get("/api/voices/mum")).status_code == 404
    assert (await http.delete("/api/voices/mum")).status_code == 404
    assert (await http.delete("/api/voices/tara")).status_code == 409
    assert (await http.get("/api/voices/tara")).json()["created_at"] is None


async def test_a_form_without_its_fields_is_named(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/voices/clone", data={"voice_id": "x"}, files={"file": ("a", b"x")})
    assert (answer.status_code, answer.json()["detail"]) == (400, "voice_name: missing: send it")
    answer = await http.post("/api/voices/clone", data={"voice_id": "x", "voice_name": "X", "file": "text"})
    assert answer.status_code == 400
    answer = await http.put("/api/voices/tara/transcript", json={"transcript": " "})
    assert answer.status_code == 400


async def test_what_is_not_there_and_what_is_not_allowed(http: httpx.AsyncClient) -> None:
    assert (await http.get("/nothing")).status_code == 404
    assert (await http.put("/api/voices", json={})).status_code == 405
    assert (await http.get("/v1/nothing")).json()["error"]["code"] == "not_found"
    assert (await http.post("/api/rooms/nobody/interrupt")).json()["played_ms"] == 0


def readiness(*script: FakeSpeech) -> tuple[FakeEngine, Readiness]:
    engine = FakeEngine(*script)
    return engine, Readiness(engine)


def test_speech_is_proof_and_spares_the_probe() -> None:
    async def work() -> None:
        engine, ready = readiness()
        ready.heard()
        verdict = await ready.verdict()
        assert (verdict.ready, verdict.by, len(engine.requests)) == (True, "speech", 0)
        await asyncio.sleep(PROOF_S + 0.1)
        verdict = await ready.verdict()
        assert (verdict.ready, verdict.by) == (True, "probe")
        assert [options.probe for _, options in engine.requests] == [True]

    run(work())


def test_many_askers_make_one_probe() -> None:
    async def work() -> None:
        engine, ready = readiness(FakeSpeech(delay_s=0.1))
        verdicts = await asyncio.gather(*(ready.verdict() for _ in range(50)))
        assert all(verdict.ready for verdict in verdicts)
        assert len(engine.requests) == 1

    run(work())


def test_a_full_server_is_alive() -> None:
    async def work() -> None:
        engine, ready = readiness(FakeSpeech(chunks=(), error=ServerBusy("full: 64")))
        assert (await ready.verdict()).ready
        assert (await ready.verdict()).by == "full"
        assert len(engine.requests) == 1

    run(work())


def test_what_it_took_until_speech_was_heard_for_the_first_time_is_kept() -> None:
    async def work() -> None:
        script = (
            FakeSpeech(chunks=(), error=EngineDown("engine: loading")),
            FakeSpeech(chunks=(), error=ServerBusy("full: 64")),
            FakeSpeech(delay_s=0.25),
            FakeSpeech(),
        )
        _, ready = readiness(*script)
        asked = []
        for wait_s in (3, 4, PROOF_S + 1, PROOF_S + 1):
            await asyncio.sleep(wait_s)
            asked.append(((await ready.verdict()).by, ready.warmup_s))
        assert asked[:2] == [("probe", None), ("full", None)]
        began_s = 3 + 4 + PROOF_S + 1
        assert asked[2][1] is not None
        assert began_s < asked[2][1] < began_s + PROBE_S
        assert asked[3] == ("probe", asked[2][1])

    run(work())


def test_speech_of_somebody_ends_the_warm_up_too() -> None:
    async def work() -> None:
        _, ready = readiness()
        await asyncio.sleep(5)
        ready.heard()
        assert ready.warmup_s == pytest.approx(5, abs=0.1)

    run(work())


def test_a_failed_probe_is_repeated_after_a_while() -> None:
    async def work() -> None:
        engine, ready = readiness(FakeSpeech(chunks=(), error=EngineDown("engine: dead")), FakeSpeech())
        assert not (await ready.verdict()).ready
        assert not (await ready.verdict()).ready
        assert len(engine.requests) == 1
        await asyncio.sleep(DOUBT_S)
        assert (await ready.verdict()).ready

    run(work())


def test_a_probe_that_hangs_ends() -> None:
    async def work() -> None:
        engine, ready = readiness(FakeSpeech(delay_s=1000))
        began_s = asyncio.get_running_loop().time()
        assert not (await ready.verdict()).ready
        assert asyncio.get_running_loop().time() - began_s == pytest.approx(PROBE_S, abs=0.1)
        assert engine.live == 0

    run(work())


def test_slots_are_given_in_order_and_given_back() -> None:
    async def work() -> None:
        admission = Admission(streams=2, queued=10, wait_s=100)
        order: list[int] = []

        async def speak(number: int) -> None:
            async with admission.slot():
                order.append(number)
                await asyncio.sleep(1)

        await asyncio.gather(*(speak(number) for number in range(7)))
        assert order == list(range(7))
        assert (admission.live, admission.waiting) == (0, 0)
        assert asyncio.get_running_loop().time() == pytest.approx(4, abs=0.1)

    run(work())


def test_beyond_the_queue_nobody_waits() -> None:
    async def work() -> None:
        admission = Admission(streams=1, queued=1, wait_s=5)

        async def speak() -> None:
            async with admission.slot():
                await asyncio.sleep(60)

        tasks = [asyncio.create_task(speak()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="1 streams are taken and 1 wait"):
            await speak()
        assert asyncio.get_running_loop().time() == 0
        await asyncio.wait(tasks[1:])
        assert isinstance(tasks[1].exception(), Busy)
        assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.1)
        tasks[0].cancel()
        await asyncio.wait(tasks)
        assert (admission.live, admission.waiting) == (0, 0)

    run(work())


def test_a_cancelled_waiter_leaves_the_queue() -> None:
    async def work() -> None:
        admission = Admission(streams=1, queued=1, wait_s=50)
        async with admission.slot():
            waiter = asyncio.create_task(admission.slot().__aenter__())
            await asyncio.sleep(0)
            assert admission.waiting == 1
            waiter.cancel()
            await asyncio.wait([waiter])
            assert admission.waiting == 0
        async with admission.slot():
            assert admission.live == 1

    run(work())


def figure(metrics: Metrics, name: str) -> str | None:
    lines = [line for line in metrics.page().decode().splitlines() if line.startswith(f"{name} ")]
    return lines[0].rsplit(" ", 1)[1] if lines else None


async def test_what_the_start_took_is_a_figure_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
    readiness, metrics, told = Readiness(FakeEngine()), Metrics(), Metrics()
    runtime._watch_start(metrics, Settings.read(), readiness)
    monkeypatch.setenv("ORPHEUS_MODEL_LOAD_S", "41.25")
    monkeypatch.setenv("ORPHEUS_WARMUP_S", "0.5")
    runtime._watch_start(told, Settings.read(), readiness)
    assert figure(metrics, LOAD) is figure(metrics, WARMUP) is None
    assert (figure(told, LOAD), figure(told, WARMUP)) == ("41.25", "0.5")
    assert (await readiness.verdict()).ready
    assert figure(metrics, LOAD) is None
    assert float(figure(metrics, WARMUP) or "nan") == readiness.warmup_s
    assert figure(told, WARMUP) == "0.5"


def test_what_triton_tells_of_a_models_loading_is_a_figure_too() -> None:
    metrics = Metrics()
    metrics.model_loads(parse(TRITON_PAGE).load_s)
    assert figure(metrics, 'orpheus_bridge_triton_load_seconds{model="orpheus_llm"}') == "41.5"


def test_tritons_page_is_read() -> None:
    figures = parse(TRITON_PAGE)
    card = {"utilization": 0.42, "memory_used_bytes": 1.2e10, "memory_total_bytes": 25757220864.0}
    assert figures.gpus == {"GPU-1": card}
    assert figures.load_s == {"orpheus_llm": 41.5}


@contextmanager
def triton_page(page: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()
        thread.join()


async def test_tritons_page_is_fetched_and_kept() -> None:
    with triton_page(TRITON_PAGE) as url:
        metrics = TritonMetrics(url)
        first = await metrics.figures()
    assert first.load_s == {"orpheus_llm": 41.5}
    assert await metrics.figures() is first
    assert (await TritonMetrics(url).figures()).gpus == {}
    assert (await TritonMetrics(None).figures()).gpus == {}
