"""Answers that are fetched piece by piece: alone in virtual time, and with the streams of a scripted engine."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_backend import fetches as fetches_module
from llm_backend.courier import Courier
from llm_backend.deltas import Delta
from llm_backend.errors import Cancelled, EngineDown, EngineFault, InvalidInput, RequestError
from llm_backend.fake import RecordedReply, ScriptedEngine
from llm_backend.fetches import ABANDONED_S, BUSY, UNKNOWN, FetchedAnswer, Fetches, refuse
from llm_backend.jobs import Job
from llm_backend.request import Generation, is_fetch
from llm_backend.streams import Streams

pytestmark = pytest.mark.server

WAIT_S = 10.0
STOP = Delta(text="end", tokens=1, finish_reason="stop")


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answer(clock: Clock) -> FetchedAnswer:
    return FetchedAnswer(clock)


def fetch(answer: FetchedAnswer) -> RecordedReply:
    answer.fetch(reply := RecordedReply())
    return reply


def begin(fetches: Fetches, name: str, answer: FetchedAnswer) -> RecordedReply:
    fetches.begin(name, answer, reply := RecordedReply())
    return reply


def proceed(fetches: Fetches, name: str) -> RecordedReply:
    fetches.proceed(name, reply := RecordedReply())
    return reply


def piece(reply: RecordedReply) -> tuple[str, str | None]:
    """Text and finish reason of its one response."""
    (delta,) = reply.deltas
    return delta.text, delta.finish_reason


def piece_of(text: str, tokens: int = 7) -> Delta:
    return Delta(text=text, tokens=tokens, prompt_tokens=5)


def test_what_came_in_between_comes_at_once(answer: FetchedAnswer) -> None:
    first = fetch(answer)
    assert first.deltas == []
    answer.send(piece_of("a"))
    assert piece(first) == ("a", None)
    answer.send(piece_of("b"))
    answer.send(piece_of("c"))
    second = fetch(answer)
    assert second.deltas == [Delta(text="bc", tokens=14, prompt_tokens=5)]
    third = fetch(answer)
    answer.send(STOP)
    assert piece(third) == ("end", "stop")
    assert answer.is_over
    assert (len(first.deltas), len(second.deltas)) == (1, 1)


def test_at_once_is_what_there_is(answer: FetchedAnswer) -> None:
    def now() -> tuple[str, str | None]:
        answer.fetch(reply := RecordedReply(), at_once=True)
        return piece(reply)

    assert now() == ("", None)
    answer.send(piece_of("a"))
    answer.send(piece_of("b"))
    assert now() == ("ab", None)
    assert now() == ("", None)
    waiting = fetch(answer)
    assert now() == ("", BUSY)
    answer.send(STOP)
    assert piece(waiting) == ("end", "stop")


@given(st.lists(st.sampled_from(("send", "fetch")), max_size=60), st.sampled_from(("stop", "length", "fail", "end")))
def test_however_it_is_fetched_it_is_the_same_text_with_one_end(steps: list[str], how: str) -> None:
    answer, replies, sent = FetchedAnswer(Clock()), [RecordedReply()], 0
    answer.fetch(replies[0])
    for step in steps:
        if step == "send":
            answer.send(piece_of(f"{sent},"))
            sent += 1
        elif replies[-1].deltas:
            replies.append(fetch(answer))
    if how == "fail":
        answer.fail(EngineFault("engine: failed"))
    elif how == "end":
        answer.end()
    else:
        answer.send(Delta(finish_reason=how))
    if not answer.is_over:
        replies.append(fetch(answer))
    assert answer.is_over
    pieces = [piece(reply) for reply in replies]
    assert "".join(text for text, _ in pieces) == "".join(f"{number}," for number in range(sent))
    reason = {"fail": "error:INTERNAL", "end": "error:CANCELLED"}.get(how, how)
    assert [end for _, end in pieces] == [None] * (len(pieces) - 1) + [reason]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidInput("seed: -2: send more"), "error:INVALID_ARG"),
        (Cancelled("gone"), "error:CANCELLED"),
        (EngineDown("engine: dead"), "error:UNAVAILABLE"),
        (EngineFault("engine: failed"), "error:INTERNAL"),
    ],
)
def test_an_error_is_told_in_the_finish_reason_behind_the_text(error: RequestError, reason: str) -> None:
    answer = FetchedAnswer(Clock())
    answer.send(Delta(text="so far", tokens=7, prompt_tokens=5, cumulative_logprob=-3.0))
    answer.fail(error)
    expected = Delta(text="so far", tokens=7, prompt_tokens=5, cumulative_logprob=-3.0, finish_reason=reason)
    assert fetch(answer).deltas == [expected]
    refuse(refused := RecordedReply(), error)
    assert piece(refused) == ("", reason)


def test_the_first_end_is_the_one_that_counts(answer: FetchedAnswer) -> None:
    answer.send(STOP)
    answer.fail(EngineDown("engine: dead"))
    answer.end()
    answer.send(piece_of("late"))
    assert piece(fetch(answer)) == ("end", "stop")
    answer.fail(EngineDown("engine: dead"))
    assert answer.is_over
    assert fetch(answer).deltas == []


def test_a_second_fetch_at_once_is_refused_and_the_first_gets_the_text(answer: FetchedAnswer) -> None:
    first, second = fetch(answer), fetch(answer)
    assert piece(second) == ("", BUSY)
    answer.send(piece_of("a"))
    answer.send(STOP)
    assert piece(first) == ("a", None)
    assert len(second.deltas) == 1
    assert piece(fetch(answer)) == ("end", "stop")


def test_nobody_for_ten_seconds_is_an_abandoned_answer(answer: FetchedAnswer, clock: Clock) -> None:
    answer.send(piece_of("a"))
    clock.now_s = ABANDONED_S
    assert not answer.is_cancelled()
    clock.now_s = ABANDONED_S + 0.1
    assert answer.is_cancelled()
    assert answer.is_forsaken


def test_a_fetch_that_waits_is_somebody_and_its_answer_starts_the_time_anew(
    answer: FetchedAnswer, clock: Clock
) -> None:
    waiting = fetch(answer)
    clock.now_s = 100.0
    assert not answer.is_cancelled()
    answer.send(piece_of("a"))
    clock.now_s += ABANDONED_S
    assert not answer.is_cancelled()
    clock.now_s += 0.1
    assert answer.is_cancelled()
    assert piece(waiting) == ("a", None)


def test_a_fetch_whose_caller_leaves_is_nobody(answer: FetchedAnswer) -> None:
    waiting = fetch(answer)
    assert not answer.is_cancelled()
    waiting.is_gone = True
    assert answer.is_cancelled()


def test_what_has_ended_is_not_cancelled_but_forgotten(answer: FetchedAnswer, clock: Clock) -> None:
    answer.send(STOP)
    clock.now_s = ABANDONED_S + 1
    assert not answer.is_cancelled()
    assert answer.is_forsaken


def test_an_unknown_id_and_one_that_is_over_are_told(clock: Clock) -> None:
    fetches = Fetches()
    assert piece(proceed(fetches, "a")) == ("", UNKNOWN)
    first = begin(fetches, "a", answer := FetchedAnswer(clock))
    answer.send(STOP)
    assert piece(first) == ("end", "stop")
    assert piece(proceed(fetches, "a")) == ("", UNKNOWN)


def test_an_id_that_is_used_again_means_the_new_one(clock: Clock) -> None:
    fetches, old, new = Fetches(), FetchedAnswer(clock), FetchedAnswer(clock)
    waiting, first = begin(fetches, "a", old), begin(fetches, "a", new)
    assert old.is_cancelled()
    assert not new.is_cancelled()
    old.fail(Cancelled("gone"))
    assert piece(waiting) == ("", "error:CANCELLED")
    new.send(STOP)
    assert piece(first) == ("end", "stop")


def test_answers_do_not_pile_up(clock: Clock) -> None:
    fetches, answers = Fetches(), [FetchedAnswer(clock) for _ in range(5)]
    for number, answer in enumerate(answers):
        begin(fetches, str(number), answer)
        answer.send(piece_of("a"))
    answers[1].send(STOP)
    proceed(fetches, "1")
    clock.now_s = ABANDONED_S / 2
    for name in ("3", "4"):
        proceed(fetches, name)
    answers[4].send(piece_of("b"))
    clock.now_s = ABANDONED_S + 0.1
    begin(fetches, "new", FetchedAnswer(clock))
    assert len(fetches) == 3
    assert [proceed(fetches, name).deltas[:1] for name in "012"] == [[Delta(finish_reason=UNKNOWN)]] * 3


def test_too_many_ended_ones_drop_the_oldest_and_no_live_one(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetches_module, "MAX_KEPT", 3)
    fetches, live = Fetches(), FetchedAnswer(clock)
    begin(fetches, "live", live)
    for number in range(5):
        begin(fetches, str(number), answer := FetchedAnswer(clock))
        answer.send(piece_of("a"))
        answer.send(STOP)
    begin(fetches, "last", FetchedAnswer(clock))
    ends = {name: proceed(fetches, name).deltas[0].finish_reason for name in "01234"}
    assert ends == {"0": UNKNOWN, "1": UNKNOWN, "2": "stop", "3": "stop", "4": "stop"}
    assert piece(proceed(fetches, "live")) == ("", BUSY)


@pytest.mark.parametrize(
    ("parameters", "expected"), [("", False), ('{"fetch": true}', True), ('{"fetch": false}', False)]
)
def test_a_fetch_is_told_from_a_request(parameters: str, expected: bool) -> None:
    assert is_fetch(parameters) is expected


def test_a_fetch_that_is_no_bool_is_told() -> None:
    with pytest.raises(InvalidInput, match=r"^parameter fetch: 'yes': send true"):
        is_fetch('{"fetch": "yes"}')


class Rig:
    """Streams of a scripted engine, fetched as the backend has it done."""

    def __init__(self, courier: Courier) -> None:
        self.clock = Clock()
        self.engine = ScriptedEngine()
        self.streams = Streams(self.engine, courier, response_tokens=7)
        self._courier = courier
        self._fetches = Fetches()
        self._tasks = {asyncio.create_task(self.streams.watch())}

    def begin(self, name: str, prompt: str) -> RecordedReply:
        answer, reply = FetchedAnswer(self.clock), RecordedReply()
        job = Job(request_id=name, generation=Generation(prompt=prompt, is_streamed=True), answer=answer)
        self._tasks.add(asyncio.create_task(self.streams.serve(job)))
        self._courier.post(partial(self._fetches.begin, name, answer, reply))
        return reply

    def proceed(self, name: str) -> RecordedReply:
        self._courier.post(partial(self._fetches.proceed, name, reply := RecordedReply()))
        return reply

    async def cancel(self, name: str) -> None:
        """Returns when the call is answered and all that was given to the courier is done."""
        await self.streams.cancel(name, FetchedAnswer(self.clock))
        await self.settled()

    async def settled(self) -> None:
        await self._courier.ask(lambda: None)

    async def piece(self, reply: RecordedReply) -> tuple[str, str | None]:
        await until(lambda: bool(reply.deltas))
        return piece(reply)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.settled()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    courier = Courier()
    rig = Rig(courier)
    yield rig
    await rig.close()
    assert courier.close(WAIT_S)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110  (another thread does it)
            await asyncio.sleep(0.005)


async def test_the_fetched_text_is_the_generated_one(rig: Rig) -> None:
    rig.engine.write("hello", *(piece_of(f"{number},", tokens=3) for number in range(9)), STOP)
    text, reason = await rig.piece(rig.begin("a", "hello"))
    while reason is None:
        more, reason = await rig.piece(rig.proceed("a"))
        text += more
    assert (text, reason) == ("0,1,2,3,4,5,6,7,8,end", "stop")
    assert await rig.piece(rig.proceed("a")) == ("", UNKNOWN)


async def test_a_cancel_ends_a_fetch_that_waits(rig: Rig) -> None:
    reply = rig.begin("a", "hello")
    await until(lambda: rig.engine.running == 1)
    await rig.cancel("a")
    assert piece(reply) == ("", "error:CANCELLED")
    assert rig.engine.running == 0


async def test_a_cancel_while_no_fetch_waits_is_told_to_the_next_one(rig: Rig) -> None:
    rig.engine.write("hello", piece_of("a"), piece_of("b"))
    await rig.piece(rig.begin("a", "hello"))
    await rig.settled()
    await rig.cancel("a")
    assert rig.engine.running == 0
    assert await rig.piece(rig.proceed("a")) == ("b", "error:CANCELLED")


async def test_a_cancel_that_comes_first_ends_the_first_fetch(rig: Rig) -> None:
    await rig.cancel("a")
    assert await rig.piece(rig.begin("a", "hello")) == ("", "error:CANCELLED")
    assert rig.engine.running == 0


async def test_a_cancel_of_a_speech_that_waits_to_be_fetched_to_its_end_changes_nothing(rig: Rig) -> None:
    rig.engine.write("hello", piece_of("a"), STOP)
    await rig.piece(rig.begin("a", "hello"))
    await until(lambda: rig.streams.live == 0)
    await rig.cancel("a")
    assert await rig.piece(rig.proceed("a")) == ("end", "stop")


async def test_a_generation_that_nobody_fetches_from_leaves_the_engine(rig: Rig) -> None:
    rig.engine.write("hello", piece_of("a"))
    kept = rig.begin("kept", "other")
    await rig.piece(rig.begin("left", "hello"))
    rig.clock.now_s = ABANDONED_S + 0.1
    await until(lambda: rig.engine.running == 1)
    assert await rig.piece(rig.proceed("left")) == ("", "error:CANCELLED")
    assert kept.deltas == []


async def test_a_caller_that_leaves_while_his_fetch_waits_is_noticed(rig: Rig) -> None:
    reply = rig.begin("a", "hello")
    await until(lambda: rig.engine.running == 1)
    reply.is_gone = True
    await until(lambda: rig.engine.running == 0)
    assert await rig.piece(reply) == ("", "error:CANCELLED")


async def test_the_generation_of_an_id_that_is_used_again_leaves_the_engine(rig: Rig) -> None:
    old = rig.begin("a", "old")
    await until(lambda: rig.engine.running == 1)
    new = rig.begin("a", "new")
    assert await rig.piece(old) == ("", "error:CANCELLED")
    rig.engine.write("new", STOP)
    assert await rig.piece(new) == ("end", "stop")
    assert rig.engine.running == 0


async def test_a_dead_engine_is_told_to_all_and_at_once(rig: Rig) -> None:
    rig.engine.write("between", piece_of("a"), piece_of("b"))
    waiting, between = rig.begin("waiting", "x"), rig.begin("between", "between")
    await rig.piece(between)
    await rig.settled()
    rig.engine.is_alive = False
    assert await rig.piece(waiting) == ("", "error:UNAVAILABLE")
    assert await rig.piece(rig.proceed("between")) == ("b", "error:UNAVAILABLE")
    assert await rig.piece(rig.begin("late", "x")) == ("", "error:UNAVAILABLE")


async def test_an_end_of_the_model_ends_every_fetch(rig: Rig) -> None:
    replies = [rig.begin(name, "hello") for name in "abc"]
    await until(lambda: rig.engine.running == 3)
    await rig.streams.close()
    assert [await rig.piece(reply) for reply in replies] == [("", "error:UNAVAILABLE")] * 3
