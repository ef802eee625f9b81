"""What opens the door of a room: our own tokens, or the orchestrator's."""

import datetime
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
from livekit import api

from orpheus_bridge.errors import Unavailable
from orpheus_bridge.rooms.options import LiveKitOptions

TOKEN_LIFETIME = datetime.timedelta(minutes=10)
"""Only joining needs it: a participant that is in stays."""

ASK_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Ticket:
    """An address and the token for one room there."""

    url: str
    token: str = field(repr=False)


class TicketOffice(Protocol):
    """Gives tickets."""

    @property
    def url(self) -> str | None:
        """LiveKit's address, as far as it is known."""
        ...

    async def ticket(self, room: str, identity: str) -> Ticket:
        """
        Raises:
            errors.Unavailable: there is none to be had.
        """
        ...


class KeyTickets:
    """Signed here: one room, publish only, from a microphone, valid for ten minutes."""

    def __init__(self, url: str, api_key: str, api_secret: str) -> None:
        self._url = url
        self._api_key = api_key
        self._api_secret = api_secret

    @property
    def url(self) -> str | None:
        return self._url

    async def ticket(self, room: str, identity: str) -> Ticket:
        grants = api.VideoGrants(
            room_join=True,
            room=room,
            can_publish=True,
            can_publish_sources=["microphone"],
            can_subscribe=False,
            can_publish_data=False,
        )
        token = api.AccessToken(self._api_key, self._api_secret)
        token = token.with_identity(identity).with_kind("agent").with_grants(grants).with_ttl(TOKEN_LIFETIME)
        return Ticket(self._url, token.to_jwt())


class OrchestratorTickets:
    """Asked for at `POST {url}/token`, as the orchestrator hands them to every participant."""

    def __init__(self, orchestrator_url: str, *, livekit_url: str | None) -> None:
        self._endpoint = f"{orchestrator_url.rstrip('/')}/token"
        self._livekit_url = livekit_url
        """As configured; then as the orchestrator said last."""

    @property
    def url(self) -> str | None:
        return self._livekit_url

    async def ticket(self, room: str, identity: str) -> Ticket:
        answer = await self._ask({"roomName": room, "participantName": identity})
        url = answer.get("livekitUrl") or answer.get("ws_url") or self._livekit_url
        token = answer.get("token")
        if not isinstance(token, str) or not token or not isinstance(url, str):
            raise Unavailable("the orchestrator's answer holds no token and address for a room")
        self._livekit_url = url
        return Ticket(url, token)

    async def _ask(self, question: dict[str, str]) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=ASK_TIMEOUT_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
                return await self._post(session, question)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            raise Unavailable("the orchestrator gives no token for a room") from None

    async def _post(self, session: aiohttp.ClientSession, question: dict[str, str]) -> dict[str, Any]:
        async with session.post(self._endpoint, json=question) as response:
            if (response.content_length or 0) > MAX_ANSWER_BYTES:
                raise ValueError("the answer is too long")
            answer = await response.json(content_type=None)
            if not isinstance(answer, dict):
                raise ValueError("the answer is no object")
            return answer


class NoTickets:
    """Nothing is configured."""

    url: str | None = None

    async def ticket(self, room: str, identity: str) -> Ticket:  # noqa: ARG002  (whatever is asked)
        raise Unavailable(
            "no LiveKit is configured: set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or ORCHESTRATOR_URL"
        )


def ticket_office(options: LiveKitOptions) -> TicketOffice:
    """Our own where there is a key, else the orchestrator's, else one that refuses."""
    if options.url and options.api_key and options.api_secret:
        return KeyTickets(options.url, options.api_key, options.api_secret)
    if options.orchestrator_url:
        return OrchestratorTickets(options.orchestrator_url, livekit_url=options.url)
    return NoTickets()
