"""What is asked of LiveKit, and what is not."""

import asyncio
import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_bridge.errors import Unavailable
from orpheus_bridge.rooms.audience import UNANNOUNCED_S, Audience
from orpheus_bridge.rooms.options import LiveKitOptions
from orpheus_bridge.rooms.tickets import KeyTickets, OrchestratorTickets, ticket_office

pytestmark = pytest.mark.unit

SECRET = "a secret of more than thirty-two bytes"


@given(room=st.text(min_size=1, max_size=50), identity=st.text(min_size=1, max_size=50))
def test_a_token_opens_one_room_for_ten_minutes_to_publish_a_microphone(room: str, identity: str) -> None:
    ticket = asyncio.run(KeyTickets("wss://livekit", "key", SECRET).ticket(room, identity))
    claims = jwt.decode(ticket.token, SECRET, algorithms=["HS256"])
    assert (claims["iss"], claims["sub"], claims["kind"]) == ("key", identity, "agent")
    assert claims["exp"] - time.time() <= 600
    assert claims["video"] == {
        "roomJoin": True,
        "room": room,
        "canPublish": True,
        "canPublishSources": ["microphone"],
        "canSubscribe": False,
        "canPublishData": False,
    }
    assert ticket.url == "wss://livekit"


def test_secrets_are_not_shown() -> None:
    options = LiveKitOptions(url="wss://livekit", api_key="key", api_secret=SECRET)
    ticket = asyncio.run(ticket_office(options).ticket("room", "me"))
    assert SECRET not in repr(options)
    assert ticket.token not in repr(ticket)


def test_an_orchestrator_that_does_not_answer_is_told() -> None:
    office = ticket_office(LiveKitOptions(orchestrator_url="http://127.0.0.1:9"))
    assert isinstance(office, OrchestratorTickets)
    with pytest.raises(Unavailable, match="the orchestrator gives no token"):
        asyncio.run(office.ticket("room", "me"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "wss://x", "api_key": "key"}, "LIVEKIT_API_SECRET: not set"),
        ({"url": "wss://x", "api_secret": SECRET}, "LIVEKIT_API_KEY: not set"),
        ({"api_key": "key", "api_secret": SECRET}, "LIVEKIT_URL: not set"),
    ],
)
def test_half_a_configuration_is_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LiveKitOptions(**settings)  # type: ignore[arg-type]  # all are strings


@pytest.mark.parametrize(
    ("options", "configured"),
    [
        (LiveKitOptions(), False),
        (LiveKitOptions(url="wss://x"), False),
        (LiveKitOptions(orchestrator_url="http://x"), True),
        (LiveKitOptions(url="wss://x", api_key="key", api_secret=SECRET), True),
    ],
)
def test_what_counts_as_configured(options: LiveKitOptions, configured: bool) -> None:
    assert options.is_configured == configured


def test_who_listens_follows_what_livekit_tells() -> None:
    audience = Audience()
    assert audience.listeners(0) == 0
    audience.subscribe(10)
    assert audience.is_subscribed
    assert audience.listeners(10 + UNANNOUNCED_S / 2) == 1
    assert audience.listeners(10 + UNANNOUNCED_S) == 0  # it was never announced: gone again
    audience.join("a")
    audience.join("b")
    audience.join("a")
    assert audience.listeners(100) == 2
    audience.publish()
    assert not audience.is_subscribed
    assert audience.listeners(100) == 2
    audience.leave("a")
    audience.leave("b")
    audience.leave("b")
    assert audience.listeners(100) == 0
