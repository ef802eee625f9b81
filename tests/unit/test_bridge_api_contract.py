"""Whatever is sent to the routes of the OpenAPI document, no answer is a 5xx."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from orpheus_bridge import documents
from orpheus_bridge.fake_engine import FakeEngine
from orpheus_client import FakeSpeech
from unit.bridge_app import Bridge, running

pytestmark = pytest.mark.unit

EXAMPLES = 15
"""Of each route; the group has a minute."""

schema = schemathesis.openapi.from_dict(documents.openapi())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    engine = FakeEngine(FakeSpeech(chunks=(np.full(2048, 900, np.int16),)))
    with running(Bridge(engine=engine, streams=64, queued=64)) as bridge:
        yield bridge.url


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_request_breaks_it(case: Any, url: str) -> None:
    answer = case.call(base_url=url)
    assert answer.status_code < 500, answer.text
    assert answer.headers["x-request-id"]
    if answer.status_code >= 400 and answer.headers.get("content-type") == ["application/json"]:
        body = answer.json()
        assert re.search(r"\w", str(body.get("detail") or body["error"]["message"]))
