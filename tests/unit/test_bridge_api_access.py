"""Access keys, limits of bodies, request ids."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from orpheus_bridge.api import middleware
from orpheus_bridge.api.services import ApiOptions
from orpheus_bridge.errors import Unauthorized, Unavailable
from orpheus_bridge.keys import KEEP_S, STALE_S, KeyRing, hash_of, new_key
from unit.bridge_app import Bridge, client, running
from unit.client_virtual_time import run

pytestmark = pytest.mark.unit

KEY, OTHER = new_key(), new_key()
OPEN = ("/health", "/health/live", "/health/ready", "/metrics", "/openapi.json")
GUARDED = (
    ("GET", "/stats"),
    ("GET", "/api/voices"),
    ("POST", "/api/voices/clone"),
    ("POST", "/api/tts/synthesize"),
    ("DELETE", "/api/tts/requests/x"),
    ("POST", "/api/rooms/x/interrupt"),
    ("GET", "/v1/models"),
    ("GET", "/v1/audio/voices"),
    ("POST", "/v1/audio/speech"),
)


@pytest.fixture(scope="module")
def locked() -> Iterator[Bridge]:
    with running(Bridge(keys=(hash_of(OTHER), hash_of(KEY)), options=ApiOptions(max_upload_bytes=300_000))) as bridge:
        yield bridge


async def test_without_a_key_only_open_paths_answer(locked: Bridge) -> None:
    async with client(locked) as http:
        assert [(await http.get(path)).status_code for path in OPEN] == [200] * len(OPEN)
        for method, path in GUARDED:
            answer = await http.request(method, path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "x-request-id" in answer.headers
        assert (await http.get("/v1/models")).json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {hash_of(KEY)}"],
    ids=["none", "bare", "basic", "longer", "hash"],
)
async def test_what_is_no_key_does_not_open(locked: Bridge, header: str) -> None:
    async with client(locked, authorization=header) as http:
        assert (await http.get("/stats")).status_code == 401


@pytest.mark.parametrize("key", [KEY, OTHER], ids=["one", "other"])
async def test_each_key_opens(locked: Bridge, key: str) -> None:
    async with client(locked, authorization=f"bearer {key}") as http:
        assert (await http.get("/stats")).status_code == 200
        answer = await http.post("/api/tts/synthesize", json={"text": "Hi."})
        assert answer.status_code == 200


async def test_a_refused_body_is_not_read(locked: Bridge) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(locked.url).port)
    writer.write(b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
    async with asyncio.timeout(5):
        assert b"401" in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("path", ["/api/tts/synthesize", "/v1/audio/speech"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_is_refused(locked: Bridge, path: str, *, chunked: bool) -> None:
    body = b" " * (middleware.MAX_BODY_BYTES + 1)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    async with client(locked, authorization=f"Bearer {KEY}") as http:
        headers = {"content-type": "application/json"}
        answer = await http.post(path, content=parts() if chunked else body, headers=headers)
    assert answer.status_code == 413
    assert f"more than {middleware.MAX_BODY_BYTES} bytes" in answer.text


async def test_an_upload_has_a_limit_of_its_own(locked: Bridge) -> None:
    async with client(locked, authorization=f"Bearer {KEY}") as http:
        form = {"voice_id": "mum", "voice_name": "Mum"}
        fits = await http.post("/api/voices/clone", data=form, files={"file": ("a.wav", b"x" * 300_000)})
        over = await http.post("/api/voices/clone", data=form, files={"file": ("a.wav", b"x" * 300_001)})
        far = await http.post("/api/voices/clone", data=form, files={"file": ("a.wav", b"x" * 400_000)})
    assert (fits.status_code, over.status_code, far.status_code) == (200, 413, 413)


async def test_a_body_that_does_not_arrive_ends(locked: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(locked.url).port)
    head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
    writer.write(head.encode() + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    async with asyncio.timeout(5):
        assert b"408" in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(("given", "kept"), [("a.B-1_", True), ("x" * 64, True), ("y" * 65, False), ("a b", False)])
async def test_a_request_keeps_its_callers_id(locked: Bridge, given: str, *, kept: bool) -> None:
    async with client(locked, **{"X-Request-Id": given}) as http:
        answered = (await http.get("/health/live")).headers["x-request-id"]
    assert (answered == given) == kept
    assert answered


def test_keys_are_long_and_their_hashes_are_not_they() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert min(map(len, keys)) > 40
    assert hash_of(KEY) != hash_of(OTHER)
    assert len(hash_of(KEY)) == 64


class Table:
    """Hashes that change, and a database that comes and goes."""

    def __init__(self, *hashes: str) -> None:
        self.hashes = hashes
        self.away = False
        self.asked = 0

    async def read(self) -> tuple[str, ...]:
        self.asked += 1
        if self.away:
            raise Unavailable("away")
        return self.hashes


def test_open_only_without_any_key_and_only_if_allowed() -> None:
    async def work() -> None:
        await KeyRing((), Table().read, may_be_open=True).check(None)
        await KeyRing((), None, may_be_open=True).check("anything")
        for ring in (
            KeyRing((), None, may_be_open=False),
            KeyRing((hash_of(KEY),), None, may_be_open=True),
            KeyRing((), Table(hash_of(KEY)).read, may_be_open=True),
        ):
            with pytest.raises(Unauthorized):
                await ring.check(None)
            with pytest.raises(Unauthorized):
                await ring.check("wrong")

    run(work())


def test_a_revoked_key_holds_for_seconds_only() -> None:
    async def work() -> None:
        table = Table(hash_of(KEY), hash_of(OTHER))
        ring = KeyRing((), table.read, may_be_open=False)
        await asyncio.gather(*(ring.check(KEY) for _ in range(50)))
        assert table.asked == 1
        table.hashes = (hash_of(OTHER),)
        await asyncio.sleep(KEEP_S + 0.1)
        with pytest.raises(Unauthorized):
            await ring.check(KEY)
        await ring.check(OTHER)

    run(work())


def test_while_the_database_is_away_known_keys_hold_for_a_time() -> None:
    async def work() -> None:
        table = Table(hash_of(KEY))
        ring = KeyRing((), table.read, may_be_open=True)
        await ring.check(KEY)
        table.away = True
        await asyncio.sleep(STALE_S - 1)
        await ring.check(KEY)
        await asyncio.sleep(2)
        with pytest.raises(Unavailable):
            await ring.check(KEY)

    run(work())


def test_a_table_that_was_never_read_opens_nothing() -> None:
    async def work() -> None:
        table = Table()
        table.away = True
        with pytest.raises(Unavailable):
            await KeyRing((), table.read, may_be_open=True).check(None)
        configured = KeyRing((hash_of(KEY),), table.read, may_be_open=True)
        await configured.check(KEY)
        with pytest.raises(Unauthorized):
            await configured.check(OTHER)

    run(work())
