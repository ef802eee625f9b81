"""The bridge as a process before a real Triton with the real `orpheus_tts`, its database its own."""

import asyncio
import base64
import io
import json
import shutil
import subprocess
import time
import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from e2e.bridge_process import BridgeProcess
from launcher.debian import install_command
from launcher.processes import all_processes
from launcher.profile import Streams
from launcher.quality import missing_programs
from models.replay_script import Script
from orpheus_bridge.keys import hash_of, new_key
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm
from triton.bls_repository import Bench, Served, serving
from unit.bridge_app import Bridge, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PATH = "/api/tts/synthesize"
TRITON_STREAMS = 24
REQUEST_FILE = Path(__file__).parents[2] / "perf_analyzer_configs" / "ab" / "request.json"
WAIT_S = 30.0
AB_S = 120.0


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serving(Bench(streams=Streams(max_streams=TRITON_STREAMS)), tmp_path_factory.mktemp("triton"))


@pytest.fixture(scope="module")
def bridge(triton: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    with BridgeProcess(triton_url=triton.url, home=tmp_path_factory.mktemp("home")) as bridge:
        yield bridge


@pytest.fixture
async def http(bridge: BridgeProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=bridge.url, timeout=WAIT_S) as http:
        yield http


def samples_of(wav: bytes) -> Pcm:
    with wave.open(io.BytesIO(wav)) as file:
        assert file.getframerate() == SAMPLE_RATE_HZ
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


async def spoken(http: httpx.AsyncClient, script: Script, *, stream: bool) -> Pcm:
    answer = await http.post(PATH, json={"text": str(script), "stream": stream})
    assert answer.status_code == 200, answer.text
    return samples_of(answer.content if stream else base64.b64decode(answer.json()["audio_base64"]))


@pytest.mark.parametrize("stream", [True, False])
async def test_every_sample_of_many_streams_arrives(http: httpx.AsyncClient, *, stream: bool) -> None:
    scripts = [Script(stream=number, frames=20 + number, rate=250) for number in range(16)]
    heard = await asyncio.gather(*(spoken(http, script, stream=stream) for script in scripts))
    for script, samples in zip(scripts, heard, strict=True):
        assert np.array_equal(samples, script.samples())


async def test_the_first_bytes_leave_while_it_speaks(http: httpx.AsyncClient) -> None:
    script = Script(stream=1, frames=60, rate=125)
    wish = {"text": str(script), "stream": True}
    asked_s = time.monotonic()
    async with http.stream("POST", PATH, json=wish) as answer:
        arrived = [(time.monotonic() - asked_s, len(part)) async for part in answer.aiter_raw()]
    # 60 frames of 7 tokens at 125 a second are 3.4 s; the first frames are there after a tenth of that.
    assert arrived[0][0] < 1.5
    assert arrived[-1][0] > 3.0
    assert len(arrived) > 5


async def test_a_client_that_goes_away_frees_the_stream_in_triton(http: httpx.AsyncClient, triton: Served) -> None:
    await triton.wait_until_idle()
    asking = asyncio.create_task(http.post(PATH, json={"text": str(Script(stream=2, frames=300, rate=60))}))
    await triton.wait_until(lambda: triton.metrics()["orpheus_live_streams"] == 1)
    asking.cancel()
    await triton.wait_until_idle()
    assert triton.events(2, "cancelled") or triton.events(2)[-1]["event"] != "end"


async def test_what_triton_refuses_is_429_and_what_it_forbids_400(http: httpx.AsyncClient, triton: Served) -> None:
    forbidden = await http.post(PATH, json={"text": "<custom_token_7>"})
    assert forbidden.status_code == 400
    assert forbidden.json()["param"] == "text"
    unknown = await http.post(PATH, json={"text": "Hi.", "voice_id": "nobody"})
    assert (unknown.status_code, "tara" in unknown.json()["detail"]) == (404, True)
    slow = {"text": str(Script(stream=3, frames=24, rate=60)), "stream": True}
    answers = await asyncio.gather(*(http.post(PATH, json=slow) for _ in range(TRITON_STREAMS + 6)))
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) == TRITON_STREAMS
    assert codes.count(429) == 6
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)
    ready = await http.get("/health/ready")
    assert ready.status_code == 200
    await triton.wait_until_idle()


async def test_readiness_is_proven_by_a_probe(triton: Served, tmp_path: Path) -> None:
    with BridgeProcess(triton_url=triton.url, home=tmp_path) as fresh:
        async with httpx.AsyncClient(base_url=fresh.url, timeout=WAIT_S) as http:
            ready = await http.get("/health/ready")
            stats = (await http.get("/stats")).json()
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "proof": "probe"})
    assert stats["requests"]["total"] == 0


async def test_a_voice_is_stored_listed_and_deleted(http: httpx.AsyncClient) -> None:
    seconds = np.arange(3 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = np.rint(9000 * np.sin(2 * np.pi * 220 * seconds)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE_HZ)
        wav.writeframes(tone.tobytes())
    form = {"voice_id": "mum", "voice_name": "Mum", "transcript": "Hello dear."}
    made = await http.post("/api/voices/clone", data=form, files={"file": ("mum.wav", file.getvalue())})
    assert made.status_code == 200, made.text
    assert made.json()["status"] == "success"
    listed = (await http.get("/api/voices")).json()["voices"]
    assert {"mum", "tara"} <= {voice["voice_id"] for voice in listed}
    # What is loaded has presets and cannot clone.
    refused = await http.post(PATH, json={"text": "Hi.", "voice_id": "mum"})
    assert (refused.status_code, refused.json()["code"]) == (422, "unspeakable")
    assert (await http.get("/health")).json()["voices_unspeakable"] == 1
    assert (await http.delete("/api/voices/mum")).status_code == 200
    assert (await http.get("/api/voices/mum")).status_code == 404


async def test_without_livekit_a_room_is_503(http: httpx.AsyncClient) -> None:
    answer = await http.post(PATH, json={"text": str(Script()), "room_name": "lobby"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    health = (await http.get("/health")).json()
    assert (health["livekit_configured"], health["livekit_connected"], health["db_connected"]) == (False, False, True)


async def test_the_log_tells_of_speech_but_not_what_was_said(
    bridge: BridgeProcess, http: httpx.AsyncClient, triton: Served
) -> None:
    script = Script(stream=77, frames=9)
    await http.post(PATH, json={"text": str(script)}, headers={"X-Request-Id": "told"})

    def told() -> list[dict[str, Any]]:
        return [event for event in bridge.logged("speech_ended") if event["request_id"] == "told"]

    await triton.wait_until(told)
    ended = told()
    assert (ended[-1]["outcome"], ended[-1]["characters"]) == ("ok", len(str(script)))
    assert ended[-1]["audio_s"] == pytest.approx(9 * 2048 / SAMPLE_RATE_HZ, abs=0.01)
    assert "stream=77" not in str(bridge.events)


def run_ab(url: str, request: Path) -> None:
    ab = shutil.which("ab")
    if ab is None:
        pytest.skip(f"ab is not installed; as root: {' '.join(install_command(missing_programs()))}")
    command = [ab, "-n", "100", "-c", "4", "-l", "-T", "application/json", "-p", str(request), f"{url}{PATH}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=AB_S)
    told = {line.partition(":")[0]: line.partition(":")[2].split() for line in ended.stdout.splitlines()}
    assert told["Complete requests"] == ["100"]
    assert told["Failed requests"] == ["0"]
    assert "Non-2xx responses" not in told


def test_ab_runs_without_a_failure(bridge: BridgeProcess, tmp_path: Path) -> None:
    # The replayed model is told its pace: all at once, responses of one stream can hold up another's beginning.
    request = tmp_path / "request.json"
    request.write_text(json.dumps({**json.loads(REQUEST_FILE.read_text()), "text": str(Script(frames=8, rate=250))}))
    run_ab(bridge.url, request)


def test_ab_runs_with_the_request_that_is_shipped() -> None:
    with running(Bridge()) as bridge:
        run_ab(bridge.url, REQUEST_FILE)


async def test_it_ends_when_what_runs_has_ended_and_leaves_nothing(triton: Served, tmp_path: Path) -> None:
    key = new_key()
    script = Script(stream=4, frames=30, rate=83)
    with BridgeProcess(triton_url=triton.url, home=tmp_path, settings={"ORPHEUS_API_KEYS": hash_of(key)}) as bridge:
        async with httpx.AsyncClient(base_url=bridge.url, timeout=WAIT_S) as http:
            assert (await http.post(PATH, json={"text": "Hi."})).status_code == 401
            http.headers["authorization"] = f"Bearer {key}"
            hearing = asyncio.create_task(spoken(http, script, stream=True))
            await triton.wait_until(lambda: triton.metrics()["orpheus_live_streams"] == 1)
            status = await asyncio.to_thread(bridge.ended)
            assert np.array_equal(await hearing, script.samples())
    assert status == 0
    assert bridge.logged("draining")[0]["open_requests"] == 1
    assert not [pid for pid in all_processes() if str(tmp_path) in command_line(pid)]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
