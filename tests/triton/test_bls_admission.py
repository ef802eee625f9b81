"""Who the real `orpheus_tts` lets in: the cap, the probe's slot, and what is wrong with a request."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from launcher.profile import Streams
from models.replay_script import Script
from triton.bls_repository import ENGLISH, Bench, Served, serving
from triton.bls_wire import RawStream, Wire, request_of, wire

pytestmark = pytest.mark.triton

MAX_STREAMS = 4
MAX_CHARS = 120
NO_TRIM = np.array([False])
REFUSAL_LIMIT_S = 0.25
"""Median of many; 50 ms is asked for, on a machine that does nothing else."""

PRIVATE = "zebra-violet-seventeen"
"""Words that no log may hold."""

UNAVAILABLE, INVALID = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    english = replace(ENGLISH, max_text_chars=MAX_CHARS)
    cloning = replace(ENGLISH, name="cloning", can_clone=True, max_text_chars=MAX_CHARS)
    bench = Bench(streams=Streams(max_streams=MAX_STREAMS), checkpoints=(english, cloning))
    yield from serving(bench, tmp_path_factory.mktemp("bls"))


@pytest.fixture
async def raw(served: Served) -> AsyncIterator[Wire]:
    async with wire(served.url) as opened:
        yield opened
    await served.wait_until_idle()


def request(script: Script, **inputs: Any) -> Any:
    return request_of(str(script), trim_silence=NO_TRIM, **inputs)


async def live_streams(raw: Wire, served: Served, scripts: list[Script]) -> list[asyncio.Task[RawStream]]:
    """So many streams, all of them let in when this returns."""
    speeches = [asyncio.create_task(raw.read(request(script))) for script in scripts]
    await served.wait_until(lambda: served.metrics()["orpheus_live_streams"] == len(scripts))
    return speeches


async def assert_undisturbed(speeches: list[asyncio.Task[RawStream]], scripts: list[Script]) -> None:
    for answer, script in zip(await asyncio.gather(*speeches), scripts, strict=True):
        assert np.array_equal(answer.audio, script.samples())
        assert answer.ends == 1


async def test_one_stream_more_than_the_cap_is_refused_at_once(raw: Wire, served: Served) -> None:
    scripts = [Script(frames=24, rate=125, stream=number) for number in range(MAX_STREAMS)]
    before = served.metrics()
    speeches = await live_streams(raw, served, scripts)
    refusals = [await raw.status(request(Script(stream=9))) for _ in range(9)]
    assert {refusal[:2] for refusal in refusals} == {(UNAVAILABLE, f"full: all {MAX_STREAMS} streams are taken")}
    assert statistics.median(took_s for *_, took_s in refusals) < REFUSAL_LIMIT_S
    in_band = await raw.read(request(Script(stream=9)))
    assert (in_band.ends, len(in_band.audio)) == (1, 0)
    await assert_undisturbed(speeches, scripts)
    await served.wait_until_idle()
    after = served.metrics()
    refused = 'orpheus_streams_refused_total{reason="full"}'
    assert after[refused] - before[refused] == 10
    assert served.events(9) == []


async def test_a_probe_has_a_slot_of_its_own_and_counts_nowhere(raw: Wire, served: Served) -> None:
    scripts = [Script(frames=24, rate=125, stream=10 + number) for number in range(MAX_STREAMS)]
    speeches = await live_streams(raw, served, scripts)
    before = served.metrics()
    script = Script(frames=40, rate=40, stream=15)
    probing = asyncio.create_task(raw.read(request(script, probe=True)))
    await served.wait_until(lambda: served.events(15, "first"))
    assert (await raw.status(request(Script(stream=16), probe=True)))[:2] == (UNAVAILABLE, "full: a probe is speaking")
    probe = await probing
    assert (probe.finish_reason, probe.stats["frames"]) == ("length", 5)
    assert np.array_equal(probe.audio, script.samples(5))
    assert served.metrics() == before
    assert (await raw.read(request(Script(frames=4, stream=17), probe=True))).finish_reason == "stop"
    await assert_undisturbed(speeches, scripts)


def numbers(*values: float, dtype: Any = np.float32) -> Any:
    return np.array(values, dtype)


CODES = {"reference_text": "as I said", "reference_codes": numbers(*[7] * 14, dtype=np.int32)}

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({"text": ""}, "text: '0 characters, none to speak': send at least one word"),
    "white space": ({"text": " \t\n "}, "text: '4 characters, none to speak': send at least one word"),
    "too long": ({"text": "a" * 121}, "text: '121 characters': send at most 120 at once, longer text in pieces"),
    "control character": ({"text": "a\x07b"}, "text: 'control character U+0007': remove it, only tab and newline pass"),
    "control token": (
        {"text": "a <custom_token_5> b"},
        "text: '<custom_token_5>': use a tag of this language (<laugh>, <chuckle>, <sigh>, <cough>, <sniffle>, "
        "<groan>, <yawn>, <gasp>) or no angle brackets",
    ),
    "end of turn": ({"text": "a <|eot_id|> b"}, "text: '<|eot_id|>': use a tag of this language"),
    "unknown tag": ({"text": "a <giggle> b"}, "text: '<giggle>': use a tag of this language"),
    "not UTF-8": ({"text": b"\xff\xfe"}, "text: '2 bytes that are not UTF-8': send UTF-8"),
    "unknown voice": (
        {"voice": "nobody"}, "voice: 'nobody': send one of tara, leah, jess, leo, dan, mia, zac, zoe",
    ),
    "unknown language": ({"language": "tlh"}, "language: 'tlh': send one of en"),
    "NaN": ({"temperature": numbers(np.nan)}, "temperature: nan: send a number from 0.1 to 1.5"),
    "infinite": ({"top_p": numbers(np.inf)}, "top_p: inf: send a number from 0.05 to 1"),
    "too hot": ({"temperature": numbers(1.6)}, "temperature: 1.6: send a number from 0.1 to 1.5"),
    "too cold": ({"temperature": numbers(0.0)}, "temperature: 0.0: send a number from 0.1 to 1.5"),
    "top_p": ({"top_p": numbers(1.01)}, "top_p: 1.01: send a number from 0.05 to 1"),
    "penalty": ({"repetition_penalty": numbers(0.9)}, "repetition_penalty: 0.9: send a number from 1 to 2"),
    "max_seconds": ({"max_seconds": numbers(61)}, "max_seconds: 61.0: send a number from 0.2 to 60"),
    "seed": ({"seed": numbers(-1, dtype=np.int64)}, "seed: -1: send 0 or more"),
    "codes without text": (
        {"reference_codes": CODES["reference_codes"]},
        "reference_text: 'missing': send it with reference_codes, or neither",
    ),
    "text without codes": (
        {"reference_text": "as I said"}, "reference_codes: 'missing': send it with reference_text, or neither",
    ),
    "half a frame": (
        {**CODES, "reference_codes": numbers(*[7] * 10, dtype=np.int32)},
        "reference_codes: '10 codes': send whole frames of 7 codes, 1 to",
    ),
    "no codes": ({**CODES, "reference_codes": numbers(dtype=np.int32)}, "reference_codes: '0 codes': send whole"),
    "code too high": (
        {**CODES, "reference_codes": numbers(*[7] * 6, 4096, dtype=np.int32)},
        "reference_codes: 4096: send codes 0 to 4095 in slot order, without the slot's offset",
    ),
    "code below 0": (
        {**CODES, "reference_codes": numbers(*[7] * 6, -1, dtype=np.int32)},
        "reference_codes: -1: send codes 0 to 4095",
    ),
    "voice and reference": ({**CODES, "voice": "tara"}, "voice: 'tara': leave it out when a reference is given"),
}  # fmt: skip

MISTYPED: dict[str, tuple[dict[str, Any], str]] = {
    "dtype": ({"temperature": numbers(1, dtype=np.int32)}, "temperature"),
    "dtype of codes": ({**CODES, "reference_codes": numbers(*[7.0] * 7)}, "reference_codes"),
    "shape": ({"max_seconds": numbers(1, 2)}, "max_seconds"),
    "rank": ({"seed": np.zeros((1, 1), np.int64)}, "seed"),
    "text missing": ({"text": None}, "text"),
    "unknown input": ({"speed": numbers(1)}, "speed"),
}
"""What Triton itself refuses, in its own words and, whatever the client asks for, without a status."""


async def refused(raw: Wire, inputs: dict[str, Any]) -> tuple[grpc.StatusCode, str, float]:
    return await raw.status(request_of(**{"text": "a sentence", **inputs}))


async def test_bad_input_is_refused_with_field_value_and_fix_and_harms_nobody(raw: Wire, served: Served) -> None:
    scripts = [Script(frames=36, rate=83, stream=20 + number) for number in range(MAX_STREAMS)]
    speeches = await live_streams(raw, served, scripts)
    took_s = []
    for name, (inputs, sentence) in BAD.items():
        status, message, seconds = await refused(raw, inputs)
        assert (name, status) == (name, INVALID)
        assert message.startswith(sentence)
        took_s.append(seconds)
    assert statistics.median(took_s) < REFUSAL_LIMIT_S
    assert not any(speech.done() for speech in speeches)
    await assert_undisturbed(speeches, scripts)


@pytest.mark.parametrize("name", MISTYPED)
async def test_a_wrong_type_or_shape_is_refused_by_name(raw: Wire, name: str) -> None:
    inputs, field = MISTYPED[name]
    answer = await raw.read(request_of(**{"text": "a sentence", **inputs}))
    assert (answer.ends, answer.finals) == (1, 0)
    assert field in answer.errors[0]


async def test_bad_input_is_one_error_in_the_stream_as_well(raw: Wire) -> None:
    answer = await raw.read(request_of("a sentence", voice="nobody"))
    assert (answer.ends, answer.finals, len(answer.audio)) == (1, 0, 0)
    assert answer.errors[0].startswith("voice: 'nobody'")


async def test_a_reference_goes_to_the_checkpoint_that_clones(raw: Wire, served: Served) -> None:
    cloned = Script(frames=6, stream=30)
    codes = np.arange(7 * 30, dtype=np.int32)
    answer = await raw.read(request(cloned, reference_text="as I said", reference_codes=codes))
    assert np.array_equal(answer.audio, cloned.samples())
    preset = Script(frames=6, stream=31)
    assert np.array_equal((await raw.read(request(preset, voice="leo"))).audio, preset.samples())
    (by_clone,), (by_preset,) = served.events(30, "start"), served.events(31, "start")
    assert (by_clone["model"], by_clone["voice"]) == ("orpheus_llm_cloning", "")
    assert (by_preset["model"], by_preset["voice"]) == ("orpheus_llm", "leo")
    assert by_clone["prompt_chars"] > by_preset["prompt_chars"] + 30 * 7 * 15


async def test_what_is_spoken_stands_in_no_log(raw: Wire, served: Served) -> None:
    assert (await raw.read(request_of(f"{PRIVATE} and more"))).finish_reason == "stop"
    for inputs in ({"voice": PRIVATE}, {"text": f"{PRIVATE} <{PRIVATE}>"}, {"language": PRIVATE}):
        assert (await refused(raw, inputs))[0] is INVALID
    failing = str(Script(fault="error", stream=40))
    assert (await raw.read(request_of(f"{failing} {PRIVATE}"))).errors
    log = served.server.log_path.read_text()
    assert "orpheus_tts" in log
    assert PRIVATE not in log
