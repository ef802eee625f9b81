"""What the routes work with."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from orpheus_bridge.desk import Desk, Ticket
from orpheus_bridge.keys import KeyRing
from orpheus_bridge.readiness import Readiness
from orpheus_bridge.rooms.sink import Policy, RoomSink
from orpheus_bridge.speech import Engine
from orpheus_bridge.telemetry.metrics import Metrics
from orpheus_bridge.telemetry.triton import TritonMetrics
from orpheus_bridge.voices.ports import Voices


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """What the API allows."""

    max_text_chars: int = 1000
    """Of `/api/tts/synthesize`."""
    max_input_chars: int = 4096
    """Of `/v1/audio/speech`."""
    max_upload_bytes: int = 10 * 1024 * 1024
    """Of a recording, and nothing that is sent is larger."""
    openai_aliases: bool = True
    """Whether OpenAI's names of models and voices mean something here."""
    room_policy: Policy = "queue"
    """For requests that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything behind the routes; made before the first request and closed after the last."""

    options: ApiOptions
    engine: Engine
    desk: Desk
    voices: Voices
    rooms: RoomSink
    keys: KeyRing
    readiness: Readiness
    metrics: Metrics
    triton: TritonMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInfo:
    """What the outermost layer notes of a request."""

    request_id: str
    started_s: float
    """On the loop's clock."""

    def ticket(self, api: str) -> Ticket:
        """For the desk."""
        return Ticket(request_id=self.request_id, api=api, started_s=self.started_s)


INFO_KEY = "orpheus_request"
"""Under which a scope holds its `RequestInfo`."""


def services_of(request: Request) -> Services:
    """Those of the running application."""
    return cast("Services", request.app.state.services)


def info_of(request: Request) -> RequestInfo:
    """Of this request."""
    return cast("RequestInfo", request.scope[INFO_KEY])


Served = Annotated[Services, Depends(services_of)]
Info = Annotated[RequestInfo, Depends(info_of)]
