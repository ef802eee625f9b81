"""The rules of a room, in virtual time: who speaks when, what is told, what becomes of the speech."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_bridge.errors import BridgeError, Busy, Conflict, Failed, Unavailable
from orpheus_bridge.rooms.fake import FakeRooms
from orpheus_bridge.rooms.link import RoomClosed
from orpheus_bridge.rooms.sink import Delivery, Policy
from unit.bridge_rooms_speech import Speech
from unit.client_virtual_time import run

pytestmark = pytest.mark.unit

ROOM = "room"
Event = tuple[float, float, Policy, float | None]
"""When a request comes, how long it speaks, its policy, when its caller goes away."""


def speak(
    rooms: FakeRooms, speech: Speech, request_id: str = "1", *, policy: Policy = "queue", predicted_s: float = 1.0
) -> "asyncio.Task[Delivery]":
    work = rooms.speak(ROOM, request_id, speech, policy=policy, predicted_s=predicted_s)
    return asyncio.create_task(work)


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_everything_is_played_once_and_the_answer_comes_with_the_last_frame() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        speech = Speech(2.0)
        delivery = await speak(rooms, speech)
        assert now_s() == pytest.approx(1.8, abs=0.06)  # 200 ms are still queued
        assert delivery.sent_ms == delivery.played_ms == 2000
        assert (delivery.interrupted, delivery.listeners, delivery.first_audible_ms) == (False, 1, 0)
        await asyncio.sleep(1)
        assert np.array_equal(rooms.link(ROOM).played, speech.samples)
        assert speech.closed_s is not None

    run(story())


def test_speech_is_read_ahead_as_fast_as_it_comes() -> None:
    async def story() -> None:
        speech = Speech(60.0, pace=10.0)
        speaking = speak(FakeRooms(), speech, predicted_s=60)
        await asyncio.sleep(6.1)
        assert speech.given_samples == len(speech.samples)
        await speaking

    run(story())


def test_requests_speak_in_order_and_each_is_made_when_its_turn_comes() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        speeches = [Speech(1.0, level=level) for level in (1000, 2000, 3000)]
        tasks = [speak(rooms, speech, str(number)) for number, speech in enumerate(speeches)]
        await asyncio.gather(*tasks)
        await asyncio.sleep(1)
        assert np.array_equal(rooms.link(ROOM).played, np.concatenate([speech.samples for speech in speeches]))
        begun_s = [speech.begun_s or 0 for speech in speeches]
        assert begun_s == pytest.approx([0, 0.8, 1.8], abs=0.06)

    run(story())


def test_reject_is_refused_while_somebody_speaks() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        speaking, refused = speak(rooms, Speech(1.0)), Speech(1.0)
        await asyncio.sleep(0.5)
        with pytest.raises(Conflict, match="policy queue or interrupt"):
            await speak(rooms, refused, policy="reject")
        assert refused.begun_s is None
        assert refused.closed_s is not None
        await speaking
        assert (await speak(rooms, Speech(1.0), policy="reject")).sent_ms == 1000

    run(story())


def test_interrupt_ends_what_speaks_and_what_waits() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        long, waiting, urgent = Speech(10.0), Speech(1.0, level=2000), Speech(1.0, level=3000)
        speaking, behind = speak(rooms, long, "1", predicted_s=10), speak(rooms, waiting, "2")
        await asyncio.sleep(2.0)
        delivery = await speak(rooms, urgent, "3", policy="interrupt")
        first, second = await speaking, await behind
        await asyncio.sleep(1)
        assert first.played_ms == pytest.approx(2000, abs=1)
        assert first.sent_ms == pytest.approx(2200, abs=60)
        assert (first.interrupted, second.interrupted, delivery.interrupted) == (True, True, False)
        assert waiting.begun_s is None
        assert long.closed_s == pytest.approx(2.0, abs=0.01)
        played = rooms.link(ROOM).played
        assert len(played) == pytest.approx(3 * 24_000, abs=24)
        assert np.array_equal(played[-24_000:], urgent.samples)

    run(story())


def test_barge_in_tells_how_much_was_played() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        speaking, waiting = speak(rooms, Speech(10.0), "1", predicted_s=10), speak(rooms, Speech(1.0), "2")
        await asyncio.sleep(3.0)
        assert await rooms.interrupt(ROOM) == pytest.approx(3000, abs=1)
        assert (await speaking).played_ms == pytest.approx(3000, abs=1)
        assert (await waiting).sent_ms == 0
        await asyncio.sleep(1)
        assert len(rooms.link(ROOM).played) == pytest.approx(72_000, abs=24)
        assert await rooms.interrupt(ROOM) == 0
        assert await rooms.interrupt("elsewhere") == 0

    run(story())


def test_barge_in_reaches_the_tail_of_a_speech_that_was_answered() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        await speak(rooms, Speech(1.0))
        played_ms = await rooms.interrupt(ROOM)
        assert played_ms == pytest.approx(800, abs=60)
        await asyncio.sleep(1)
        assert len(rooms.link(ROOM).played) == pytest.approx(played_ms * 24, abs=24)

    run(story())


def test_a_request_is_cancelled_wherever_it_is() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        speeches = [Speech(2.0, level=level) for level in (1000, 2000, 3000)]
        tasks = [speak(rooms, speech, str(number), predicted_s=2) for number, speech in enumerate(speeches)]
        await asyncio.sleep(0.5)
        assert await rooms.cancel("1") == 0
        assert await rooms.cancel("0") == pytest.approx(500, abs=1)
        assert await rooms.cancel("nobody") is None
        first, second, third = await asyncio.gather(*tasks)
        assert (first.interrupted, second.interrupted, third.interrupted) == (True, True, False)
        await asyncio.sleep(1)
        assert np.array_equal(rooms.link(ROOM).played[-48_000:], speeches[2].samples)
        assert speeches[1].begun_s is None

    run(story())


def test_a_caller_that_goes_gives_its_turn_to_the_next() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        speech, behind = Speech(10.0), Speech(1.0, level=2000)
        speaking, waiting = speak(rooms, speech, predicted_s=10), speak(rooms, behind, "2")
        await asyncio.sleep(1.0)
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking
        assert speech.closed_s == pytest.approx(1.0, abs=0.001)
        assert (await waiting).sent_ms == 1000
        await asyncio.sleep(1)
        assert len(rooms.link(ROOM).played) == pytest.approx(48_000, abs=24)

    run(story())


def test_a_line_that_takes_too_long_is_refused() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        first = speak(rooms, Speech(80.0), predicted_s=80)
        await asyncio.sleep(0)
        second = speak(rooms, Speech(20.0), "2", predicted_s=20)
        await asyncio.sleep(1.0)
        with pytest.raises(Busy, match="wait for this room") as caught:
            await speak(rooms, Speech(5.0), "3", predicted_s=5)
        assert caught.value.retry_after_s
        await asyncio.sleep(4.5)  # time goes by: 75 + 20 + 5
        third = speak(rooms, Speech(5.0), "4", predicted_s=5)
        with pytest.raises(Busy):
            await speak(rooms, Speech(101.0), "5", policy="interrupt", predicted_s=101)
        assert [delivery.interrupted for delivery in await asyncio.gather(first, second, third)] == [False] * 3
        assert now_s() < 105.5

    run(story())


def test_a_line_is_bounded_in_requests_too() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        tasks = [speak(rooms, Speech(0.1), str(number), predicted_s=0) for number in range(33)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, Busy) for result in results] == [False] * 32 + [True]

    run(story())


def test_nobody_listens() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        rooms.link(ROOM).present = 0
        speech = Speech(1.0)
        delivery = await speak(rooms, speech)
        assert now_s() == pytest.approx(5.0)
        assert (delivery.listeners, delivery.sent_ms, delivery.interrupted) == (0, 0, False)
        assert speech.begun_s is None
        assert speech.closed_s is not None

    run(story())


@pytest.mark.parametrize(("away_s", "interrupted"), [(4.0, False), (8.0, True)])
def test_a_room_that_its_last_listener_left_falls_silent(away_s: float, interrupted: bool) -> None:
    async def story() -> None:
        rooms = FakeRooms()
        link = rooms.link(ROOM)
        speaking = speak(rooms, Speech(30.0), predicted_s=30)
        await asyncio.sleep(2.0)
        link.present = 0
        await asyncio.sleep(away_s)
        link.present = 1
        delivery = await speaking
        assert delivery.interrupted == interrupted
        assert delivery.played_ms == pytest.approx(7000 if interrupted else 30_000, abs=300)

    run(story())


def test_a_room_that_takes_nothing_is_given_up() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        speech = Speech(30.0)
        speaking = speak(rooms, speech, predicted_s=30)
        await asyncio.sleep(1.0)
        rooms.link(ROOM).stalls = True
        with pytest.raises(Unavailable, match="took no audio for 10 s"):
            await speaking
        assert now_s() == pytest.approx(11.0, abs=0.1)
        assert speech.closed_s is not None

    run(story())


def test_a_connection_that_is_mended_goes_on_where_it_was() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        link = rooms.link(ROOM)
        speech = Speech(4.0)
        speaking = speak(rooms, speech, predicted_s=4)
        await asyncio.sleep(1.0)
        link.pauses = asyncio.Event()
        await asyncio.sleep(3.0)
        link.pauses.set()
        assert (await speaking).sent_ms == 4000
        await asyncio.sleep(1)
        assert np.array_equal(link.played, speech.samples)
        assert now_s() == pytest.approx(7.6, abs=0.06)

    run(story())


@pytest.mark.parametrize("error", [Conflict("another took our identity"), Unavailable("did not come back")])
def test_a_connection_that_does_not_come_back_is_told(error: BridgeError) -> None:
    async def story() -> None:
        rooms = FakeRooms()
        speech = Speech(4.0)
        speaking = speak(rooms, speech)
        await asyncio.sleep(1.0)
        rooms.link(ROOM).ready_error = error
        with pytest.raises(type(error), match=str(error)):
            await speaking
        assert speech.closed_s is not None

    run(story())


def test_a_room_that_is_closed_ends_the_speech_without_an_error() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        speaking = speak(rooms, Speech(4.0))
        await asyncio.sleep(1.0)
        rooms.link(ROOM).ready_error = RoomClosed()
        assert (await speaking).interrupted

    run(story())


def test_a_speech_that_fails_is_heard_until_then_and_told_once() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        with pytest.raises(Failed, match="the speech server failed"):
            await speak(rooms, Speech(1.0, error=Failed("the speech server failed")))
        assert now_s() == pytest.approx(0.8, abs=0.06)
        assert (await speak(rooms, Speech(1.0))).sent_ms == 1000

    run(story())


def test_a_room_that_cannot_be_joined_is_told_and_tried_again() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        link = rooms.link(ROOM)
        link.open_error = Unavailable("LiveKit does not answer")
        speech = Speech(1.0)
        with pytest.raises(Unavailable, match="does not answer"):
            await speak(rooms, speech)
        assert speech.begun_s is None
        link.open_error = None
        assert (await speak(rooms, Speech(1.0))).sent_ms == 1000

    run(story())


def test_two_rooms_speak_at_once_and_never_mix() -> None:
    async def story() -> None:
        rooms = FakeRooms()
        left, right = Speech(2.0, level=1000), Speech(2.0, level=2000)
        await asyncio.gather(
            rooms.speak("a", "1", left, policy="queue", predicted_s=2),
            rooms.speak("b", "2", right, policy="queue", predicted_s=2),
        )
        assert now_s() == pytest.approx(1.8, abs=0.06)
        await asyncio.sleep(1)
        assert np.array_equal(rooms.link("a").played, left.samples)
        assert np.array_equal(rooms.link("b").played, right.samples)
        assert (await rooms.state()).rooms == 2

    run(story())


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 4),
            st.floats(0.05, 3),
            st.sampled_from(["queue", "interrupt", "reject"]),
            st.one_of(st.none(), st.floats(0, 3)),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_happens_every_request_ends_once_and_what_is_told_was_played(
    events: list[Event],
) -> None:
    """Requests at random times, with random policies, some of whose callers go away."""

    async def request(rooms: FakeRooms, number: int, speech: Speech, event: Event) -> Delivery | None:
        begin_s, seconds, policy, patience_s = event
        await asyncio.sleep(begin_s)
        try:
            async with asyncio.timeout(patience_s):
                return await rooms.speak(ROOM, str(number), speech, policy=policy, predicted_s=seconds)
        except (TimeoutError, Conflict):
            return None

    async def story() -> None:
        rooms = FakeRooms()
        speeches = [Speech(event[1], level=number + 1) for number, event in enumerate(events)]
        told = await asyncio.gather(
            *(request(rooms, number, speeches[number], event) for number, event in enumerate(events))
        )
        await asyncio.sleep(1)
        played = rooms.link(ROOM).played
        for number, delivery in enumerate(told):
            if delivery:
                unheard_ms = delivery.played_ms - np.count_nonzero(played == number + 1) / 24
                # The end of a speech that was answered can still be cut by one that interrupts.
                assert -0.1 < unheard_ms < (0.1 if delivery.interrupted else 200.1)
        assert all(speech.closed_s is not None for speech in speeches)
        levels = played[np.flatnonzero(np.diff(played, prepend=0))]
        assert len(set(levels.tolist())) == len(levels)  # nobody was cut into two
        await rooms.close()
        assert len(asyncio.all_tasks()) == 1

    run(story())
