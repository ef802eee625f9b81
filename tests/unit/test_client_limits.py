"""Timeouts, retries and the kept list of checkpoints, in virtual time."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.profile import Streams
from orpheus_client import (
    Busy,
    ChunkTimeout,
    ConnectionFailed,
    ConnectTimeout,
    EngineDown,
    FirstAudioTimeout,
    InvalidInput,
    ProtocolFault,
    RetryBudget,
    RetryPolicy,
    SpeechClient,
    SpeechError,
    Timeouts,
    TotalTimeout,
)
from orpheus_client._catalogue import Catalogue, Checkpoints
from orpheus_client._retry import Retries
from orpheus_client._timeouts import Deadlines
from unit.client_scripted_triton import CHECKPOINT, SPOKEN, running
from unit.client_virtual_time import run

pytestmark = pytest.mark.unit

LIMITS = Timeouts(connect_s=1, first_audio_s=4, between_chunks_s=3, total_s=10)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", ["connect_s", "first_audio_s", "between_chunks_s", "total_s"])
def test_every_bound_is_a_bound(name: str, wrong: float) -> None:
    with pytest.raises(InvalidInput, match=f"^{name}: {wrong!r}: give"):
        Timeouts(**{name: wrong})


def test_timeouts_show_themselves() -> None:
    assert repr(LIMITS) == "Timeouts(connect_s=1, first_audio_s=4, between_chunks_s=3, total_s=10)"


def test_the_server_says_what_is_wrong_before_its_client_gives_up() -> None:
    # A token may come just before its deadline, and then wait for its decoding until that one's.
    server, ours = Streams(), Timeouts()
    assert ours.between_chunks_s > server.token_gap_timeout_s + server.decode_timeout_s
    assert ours.total_s > server.total_timeout_s


@pytest.mark.parametrize(
    ("waited_s", "heard", "step", "expected", "at_s"),
    [
        (0, False, "connecting", ConnectTimeout, 1),
        (3.5, False, "connecting", FirstAudioTimeout, 4),
        (0, False, "receiving", FirstAudioTimeout, 4),
        (2, False, "receiving", FirstAudioTimeout, 4),
        (2, True, "receiving", ChunkTimeout, 5),
        (8, True, "receiving", TotalTimeout, 10),
    ],
)
def test_the_bound_that_is_due_first_ends_the_wait(
    waited_s: float, heard: bool, step: str, expected: type[SpeechError], at_s: float
) -> None:
    async def wait() -> float:
        deadlines = Deadlines(LIMITS)
        await asyncio.sleep(waited_s)
        if heard:
            deadlines.heard()
        with pytest.raises(expected):
            async with getattr(deadlines, step)():
                await asyncio.sleep(1000)
        return asyncio.get_running_loop().time()

    assert run(wait()) == pytest.approx(at_s)


@given(st.integers(1, 200), st.floats(0, 1), st.integers(0, 20))
def test_retries_stay_a_share_of_the_requests(requests: int, ratio: float, reserve: int) -> None:
    budget = RetryBudget(ratio=ratio, reserve=reserve)
    spent = 0
    for _ in range(requests):
        budget.earn()
        spent += budget.spend()
    assert spent <= reserve + ratio * requests + 1e-6


def test_ten_requests_earn_a_retry() -> None:
    budget = RetryBudget(ratio=0.1, reserve=1)
    assert [budget.spend(), budget.spend()] == [True, False]
    for _ in range(10):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_pauses_double_up_to_their_limit_and_are_spread(chance: float) -> None:
    policy = RetryPolicy(max_attempts=9, backoff_s=0.1, max_backoff_s=0.5)
    longest = [0.1, 0.2, 0.4, 0.5, 0.5]
    assert [policy.pause_s(n, chance=chance) for n in range(1, 6)] == pytest.approx(
        [s * (0.5 + chance / 2) for s in longest]
    )


@pytest.mark.parametrize(
    ("error", "left_s", "again"),
    [
        (Busy("full: no"), 5, True),
        (ConnectionFailed("no"), 5, True),
        (EngineDown("engine: no"), 5, True),
        (Busy("full: no"), 0.01, False),
        (InvalidInput("text: no"), 5, False),
        (FirstAudioTimeout("no"), 5, False),
    ],
)
def test_only_what_may_succeed_in_time_is_tried_again(error: SpeechError, left_s: float, again: bool) -> None:
    retries = Retries(RetryPolicy(), RetryBudget())
    assert (retries.pause_s(error, left_s=left_s) is not None) is again
    assert retries.pause_s(Busy("full: no"), left_s=5) is None


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInput, match="max_attempts: 0"):
        RetryPolicy(max_attempts=0)
    with pytest.raises(InvalidInput, match="retry budget"):
        RetryBudget(ratio=2)


def test_the_list_is_asked_for_once_a_minute_and_by_one_caller() -> None:
    asked = 0

    async def read() -> Checkpoints:
        nonlocal asked
        asked += 1
        await asyncio.sleep(1)
        return (CHECKPOINT,)

    async def use() -> None:
        catalogue = Catalogue(read, keep_s=60)
        lists = await asyncio.gather(*(catalogue.checkpoints() for _ in range(5)))
        assert all(found == (CHECKPOINT,) for found in lists)
        assert asked == 1
        await asyncio.sleep(58)
        await catalogue.checkpoints()
        assert asked == 1
        await asyncio.sleep(2)
        await catalogue.checkpoints()
        assert asked == 2

    run(use())


def test_a_list_that_could_not_be_had_is_asked_for_again() -> None:
    answers: list[Checkpoints | None] = [None, (CHECKPOINT,)]

    async def read() -> Checkpoints:
        answer = answers.pop(0)
        if answer is None:
            raise ConnectionFailed("away")
        return answer

    async def use() -> None:
        catalogue = Catalogue(read, keep_s=60)
        with pytest.raises(ConnectionFailed):
            await catalogue.checkpoints()
        assert await catalogue.checkpoints() == (CHECKPOINT,)

    run(use())


async def test_voices_and_health_are_the_servers() -> None:
    async with running(SPOKEN) as triton, SpeechClient(triton.url) as client:
        assert [(v.name, v.language, v.checkpoint, v.is_default) for v in await client.voices()] == [
            ("tara", "en", "english", True),
            ("leo", "en", "english", False),
        ]
        state = await client.health()
        assert (state.live, state.ready, state.speaks) == (True, True, True)
        triton.ready = False
        state = await client.health()
        assert (state.live, state.ready, state.speaks) == (True, False, False)


@pytest.mark.parametrize(
    ("parameters", "said"), [({}, "no parameter checkpoints"), ({"checkpoints": "[{}]"}, "render the repository again")]
)
async def test_a_configuration_without_a_readable_list_is_a_protocol_fault(
    parameters: dict[str, str], said: str
) -> None:
    async with running(SPOKEN) as triton, SpeechClient(triton.url) as client:
        triton.parameters = parameters
        with pytest.raises(ProtocolFault, match=said):
            await client.checkpoints()
