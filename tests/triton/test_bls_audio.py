"""The real `orpheus_tts` on a real Triton: every sample of every stream, once, in order."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from launcher.profile import Streams
from models.frame_codes import SAMPLES_PER_FRAME
from models.replay_script import Script
from orpheus_client import RetryPolicy, SpeechClient, SpeechOptions, SpeechResult
from triton.bls_repository import Bench, Served, serving
from triton.bls_wire import Wire, request_of, wire

pytestmark = pytest.mark.triton

MAX_STREAMS = 64
SAMPLE_RATE_HZ = 24_000
BLOCK_SAMPLES = 240
UNTRIMMED = SpeechOptions(trim_silence=False)
NO_TRIM = np.array([False])
WAYS = (
    (60, 7, 0, 0),
    (83, 7, 0, 0),
    (83, 1, 0, 0),
    (83, 1, 3, 1),
    (125, 7, 0, 1),
    (125, 5, 11, 0),
    (125, 23, 2, 0),
    (250, 1, 17, 0),
    (250, 49, 0, 0),
)
"""Tokens a second, tokens to a response, where deltas are cut, whether the reason comes alone."""

BURSTS = ((1000, 2, 5, 1), (0, 1, 1, 0), (0, 1000, 0, 0))
"""One at a time: responses in a burst, while other streams begin, can bring a nested call of Triton to a standstill."""

FINAL_OUTPUTS = ("audio", "is_final", "finish_reason", "stats")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serving(Bench(streams=Streams(max_streams=MAX_STREAMS)), tmp_path_factory.mktemp("bls"))


@pytest.fixture
async def client(served: Served) -> AsyncIterator[SpeechClient]:
    async with SpeechClient(served.url, retry=RetryPolicy(max_attempts=1)) as client:
        yield client


@pytest.fixture
async def raw(served: Served) -> AsyncIterator[Wire]:
    async with wire(served.url) as opened:
        yield opened


async def exact(client: SpeechClient, script: Script, options: SpeechOptions = UNTRIMMED) -> SpeechResult:
    """The result of a speech of which every sample is what it must be."""
    stream = client.speak(str(script), options)
    samples = np.concatenate([chunk.samples async for chunk in stream])
    expected = script.samples()
    assert len(samples) == len(expected)
    assert np.array_equal(samples, expected), f"{script}: differs from sample {np.argmin(samples == expected)} on"
    assert stream.result.finish_reason == "stop"
    assert stream.result.stats.frames == script.frames
    assert stream.result.stats.dropped_tokens == script.dropped_tokens()
    return stream.result


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 8, 9, 16, 59, 60, 64, 65, 128, 700])
async def test_a_speech_of_any_length_is_whole(client: SpeechClient, frames: int) -> None:
    result = await exact(client, Script(frames=frames, stream=frames))
    seconds = frames * SAMPLES_PER_FRAME / SAMPLE_RATE_HZ
    assert result.stats.generated_s == pytest.approx(seconds, abs=0.001)
    assert result.stats.decoded_s >= result.stats.generated_s - 0.001
    assert result.stats.windows >= 1


async def test_a_speech_is_whole_at_any_rate_and_however_its_tokens_are_cut(client: SpeechClient) -> None:
    scripts = [
        Script(frames=20, rate=rate, group=group, cut=cut, last=last, stream=100 + number)
        for number, (rate, group, cut, last) in enumerate(WAYS)
    ]
    await asyncio.gather(*(exact(client, script) for script in scripts))


@pytest.mark.parametrize(("rate", "group", "cut", "last"), BURSTS)
async def test_a_speech_that_comes_in_a_burst_is_whole(
    client: SpeechClient, rate: int, group: int, cut: int, last: int
) -> None:
    await exact(client, Script(frames=60, rate=rate, group=group, cut=cut, last=last, stream=119))


async def test_rubbish_between_the_tokens_is_dropped_counted_and_not_heard(client: SpeechClient) -> None:
    plain = Script(frames=12, rubbish=1, tail=4, stream=120)
    assert plain.dropped_tokens() == 14
    for script in (plain, Script(frames=12, rubbish=1, tail=6, group=1, cut=4, stream=121)):
        await exact(client, script)


async def test_the_quiet_opening_is_left_out_on_request(client: SpeechClient, raw: Wire) -> None:
    script = Script(frames=20, quiet=6, stream=130)
    result = await exact(client, script)
    assert result.stats.first_audible_ms is not None
    onset = 6 * SAMPLES_PER_FRAME // BLOCK_SAMPLES * BLOCK_SAMPLES
    trimmed = await raw.read(request_of(str(script)))
    assert np.array_equal(trimmed.audio, script.samples()[onset:])
    assert trimmed.stats["frames"] == 20


async def test_a_long_silence_is_sent_and_an_all_silent_speech_ends_with_no_sample(raw: Wire) -> None:
    long = Script(frames=40, quiet=30, stream=131)
    answer = await raw.read(request_of(str(long)))
    assert np.array_equal(answer.audio, long.samples()[2 * SAMPLE_RATE_HZ :])
    silent = await raw.read(request_of(str(Script(frames=5, quiet=5, stream=132))))
    assert (len(silent.audio), silent.ends, silent.flags) == (0, 1, 1)
    assert silent.outputs[-1] == FINAL_OUTPUTS
    assert silent.stats["first_audio_ms"] is silent.stats["first_audible_ms"] is None


async def test_thirty_two_streams_at_once_are_all_whole(client: SpeechClient) -> None:
    await asyncio.gather(*(exact(client, Script(frames=40, rate=300, stream=200 + number)) for number in range(32)))


@pytest.mark.parametrize("rate", [83, 125])
async def test_sixty_four_live_streams_are_all_whole(client: SpeechClient, served: Served, rate: int) -> None:
    speeches = asyncio.gather(
        *(exact(client, Script(frames=36, rate=rate, stream=300 + number)) for number in range(MAX_STREAMS))
    )
    await served.wait_until(lambda: served.metrics()["orpheus_live_streams"] == MAX_STREAMS)
    await speeches
    await served.wait_until_idle()


async def test_streams_do_not_wait_for_each_other(client: SpeechClient) -> None:
    async def first_audio_ms(stream: int) -> float:
        result = await exact(client, Script(frames=12, rate=125, stream=stream))
        assert result.first_audio_ms is not None
        return result.first_audio_ms

    alone_ms = await first_audio_ms(400)
    together_ms = await asyncio.gather(*(first_audio_ms(401 + number) for number in range(8)))
    # One after the other the last would take eight times as long, and the speech before it besides.
    assert max(together_ms) < 2 * alone_ms + 200


async def test_each_stream_has_one_end_with_all_outputs(raw: Wire) -> None:
    answer = await raw.read(request_of(str(Script(frames=30, rate=250, stream=410)), trim_silence=NO_TRIM))
    assert (answer.ends, answer.finals, answer.flags, answer.errors) == (1, 1, 1, [])
    assert answer.outputs[-1] == FINAL_OUTPUTS
    assert set(answer.outputs[:-1]) == {("audio", "is_final")}
    assert answer.arrived_s[0] * 1000 >= answer.stats["first_audio_ms"] > 0
    assert answer.stats["first_audible_ms"] == answer.stats["first_audio_ms"]
    assert answer.stats["padded_s"] >= answer.stats["decoded_s"] >= answer.stats["generated_s"]


async def test_a_speech_is_cut_at_its_length(raw: Wire, served: Served) -> None:
    script = Script(frames=40, stream=420)
    cut = await raw.read(request_of(str(script), trim_silence=NO_TRIM, max_seconds=np.array([1.0], np.float32)))
    assert (cut.finish_reason, cut.stats["frames"]) == ("length", 11)
    assert np.array_equal(cut.audio, script.samples(11))
    assert served.events(420, "start")[0]["sampling"]["max_tokens"] == 7 * 11 + 1
    just_so = Script(frames=11, stream=421)
    whole = await raw.read(request_of(str(just_so), trim_silence=NO_TRIM, max_seconds=np.array([1.0], np.float32)))
    assert whole.finish_reason == "stop"
    assert np.array_equal(whole.audio, just_so.samples())


@pytest.mark.parametrize(("period", "frames"), [(1, 36), (3, 36), (12, 48)])
async def test_a_loop_is_ended_and_the_model_stopped(raw: Wire, served: Served, period: int, frames: int) -> None:
    script = Script(loop=period, rate=1000, stream=430 + period)
    answer = await raw.read(request_of(str(script), trim_silence=NO_TRIM))
    assert (answer.finish_reason, answer.stats["frames"], answer.ends) == ("loop", frames, 1)
    assert np.array_equal(answer.audio, script.samples(frames))
    await served.wait_until(lambda: served.events(script.stream, "cancelled"))


async def test_what_was_asked_for_reaches_the_language_model(raw: Wire, served: Served) -> None:
    sampling = {"temperature": 0.5, "top_p": 0.75, "repetition_penalty": 1.25}
    tensors: dict[str, Any] = {name: np.array([value], np.float32) for name, value in sampling.items()}
    request = request_of(str(Script(frames=4, stream=440)), voice="leo", seed=np.array([2**40]), **tensors)
    assert (await raw.read(request)).finish_reason == "stop"
    await raw.read(request_of(str(Script(frames=4, stream=441))))
    (told,), (usual,) = served.events(440, "start"), served.events(441, "start")
    assert (told["voice"], usual["voice"]) == ("leo", "tara")
    assert {name: told["sampling"][name] for name in sampling} == sampling
    assert told["sampling"]["seed"] == 2**40
    assert told["sampling"]["stop_token_ids"] == [258, 9]
    assert "seed" not in usual["sampling"]
    assert usual["sampling"]["temperature"] == 0.6


async def test_metrics_count_what_was_spoken(client: SpeechClient, served: Served) -> None:
    await served.wait_until_idle()
    before = served.metrics()
    speech = asyncio.create_task(exact(client, Script(frames=24, rate=250, rubbish=1, stream=450)))
    await served.wait_until(lambda: served.metrics()["orpheus_live_streams"] == 1)
    await speech
    probe = [chunk async for chunk in client.speak(str(Script(stream=451)), SpeechOptions(probe=True))]
    assert probe
    await served.wait_until_idle()
    changes = {name: value - before[name] for name, value in served.metrics().items() if value != before[name]}
    assert changes.pop("orpheus_audio_seconds_total") == pytest.approx(24 * SAMPLES_PER_FRAME / SAMPLE_RATE_HZ, 0.01)
    histograms = [name for name in changes if name.startswith("orpheus_first_aud")]
    buckets = {name.split("_ms_")[0]: changes.pop(name) for name in histograms if name.endswith("_ms_count")}
    assert buckets == {"orpheus_first_audio": 1, "orpheus_first_audible": 1}
    assert {name: n for name, n in changes.items() if name not in histograms} == {
        'orpheus_streams_ended_total{reason="stop"}': 1,
        "orpheus_dropped_tokens_total": 10,
    }


async def test_a_speech_takes_the_time_of_its_tokens(client: SpeechClient) -> None:
    started_s = time.monotonic()
    await exact(client, Script(frames=24, rate=125, stream=460))
    assert 24 * 7 / 125 <= time.monotonic() - started_s < 24 * 7 / 125 + 1.0
