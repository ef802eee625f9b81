"""Voices through HTTP into a real PostgreSQL and back out as the reference that is spoken from."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import httpx
import numpy as np
import pytest
import soundfile

from orpheus_bridge.api.services import Services
from orpheus_bridge.fake_engine import CHECKPOINTS, FakeEngine
from orpheus_bridge.voices.book import VoiceBook
from orpheus_bridge.voices.fake import FakeEncoder
from orpheus_bridge.voices.opened import opened_store
from orpheus_bridge.voices.options import DatabaseOptions, UploadOptions, VoiceOptions
from orpheus_bridge.voices.recording import RecordingReader
from orpheus_bridge.voices.register import Registrar
from postgres.conftest import SHAPES, Place
from unit.bridge_app import Bridge, client, running

pytestmark = pytest.mark.postgres

CLONING = (replace(CHECKPOINTS[0], can_clone=True),)


@dataclass(kw_only=True)
class StoringBridge(Bridge):
    """A bridge whose voices are in a database."""

    database: DatabaseOptions
    fallback: str | None = None

    @asynccontextmanager
    async def services(self) -> AsyncIterator[Services]:
        async with super().services() as services, opened_store(self.database) as (store, _):
            registrar = Registrar(store, RecordingReader(UploadOptions()), encoder=FakeEncoder())
            options = VoiceOptions(fallback=self.fallback)
            book = VoiceBook(self.engine, store, options, registrar=registrar)
            await book.start()
            yield replace(services, voices=book)
            await book.close()


def recording() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(np.arange(2 * 16_000) / 5), 16_000, format="FLAC")
    return file.getvalue()


async def is_speakable(http: httpx.AsyncClient, voice_id: str) -> bool:
    """As the list says, which is read anew when it is asked for, if it is not from just now."""
    listed = (await http.get("/api/voices")).json()["voices"]
    return next(bool(voice["speakable"]) for voice in listed if voice["voice_id"] == voice_id)


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_voice_from_upload_to_speech_to_deletion(shape: str, place: Place) -> None:
    await place.execute(SHAPES[shape] + f"; ALTER TABLE tts_voices OWNER TO {place.options.user};")
    bridge = StoringBridge(database=place.options, engine=FakeEngine(checkpoints=CLONING))
    with running(bridge):
        async with client(bridge) as http:
            form = {"voice_id": "carl", "voice_name": "Carl", "transcript": "I am Carl."}
            file = {"file": ("carl.flac", recording())}
            made = await http.post("/api/voices/clone", data=form, files=file)
            assert (made.status_code, made.json()["status"], made.json()["voice_id"]) == (200, "success", "carl")
            assert (await http.post("/api/voices/clone", data=form, files=file)).status_code == 409
            listed = (await http.get("/api/voices")).json()
            assert {"carl", "anna", "ben", "default", "tara"} <= {voice["voice_id"] for voice in listed["voices"]}
            assert listed["total"] == len(listed["voices"])
            spoken = await http.post("/api/tts/synthesize", json={"text": "Hello there.", "voice_id": "carl"})
            assert spoken.status_code == 200, spoken.text
            mute = await http.post("/api/tts/synthesize", json={"text": "Hello there.", "voice_id": "anna"})
            assert mute.status_code == 422
            assert "it has no transcript" in mute.text
            assert (await http.delete("/api/voices/default")).status_code == 409
            assert (await http.delete("/api/voices/carl")).status_code == 200
            assert (await http.delete("/api/voices/carl")).status_code == 404
            assert (await http.get("/api/voices/carl")).status_code == 404
    reference = bridge.engine.requests[0][1].reference
    assert reference is not None
    assert reference.text == "I am Carl."
    assert reference.codes.shape == (24 * 7,)
    left = await place.execute("SELECT voice_id FROM tts_voices ORDER BY voice_id")
    assert [row["voice_id"] for row in left] == ["anna", "ben", "default"]


async def test_a_role_that_may_create_nothing_still_speaks(place: Place) -> None:
    await place.execute(SHAPES["first"])
    guest = await place.guest("GRANT SELECT ON tts_voices TO {role}")
    bridge = StoringBridge(database=guest, engine=FakeEngine(checkpoints=CLONING), fallback="leo")
    with running(bridge):
        async with client(bridge) as http:
            for voice_id, speaker in (("default", "tara"), ("leo", "leo"), ("anna", "leo")):
                body = {"text": "Hello there.", "voice_id": voice_id}
                answer = await http.post("/api/tts/synthesize", json=body)
                assert answer.status_code == 200, answer.text
                assert ("X-Voice-Fallback" in answer.headers) == (voice_id == "anna")
                assert bridge.engine.requests[-1][1].voice == speaker
            assert (await http.post("/api/tts/synthesize", json={"text": "Hi.", "voice_id": "x"})).status_code == 404
            form = {"voice_id": "carl", "voice_name": "Carl"}
            made = await http.post("/api/voices/clone", data=form, files={"file": ("carl.flac", recording())})
            assert made.status_code == 503
            assert {voice["voice_id"] for voice in (await http.get("/api/voices")).json()["voices"]} >= {"anna", "tara"}


async def test_a_transcript_too_long_to_speak_from_is_refused_and_an_old_one_is_no_failure(place: Place) -> None:
    bridge = StoringBridge(database=place.options, engine=FakeEngine(checkpoints=CLONING))
    limit = CLONING[0].max_text_chars
    form = {"voice_id": "carl", "voice_name": "Carl", "transcript": "a" * (limit + 1)}
    file = {"file": ("carl.flac", recording())}
    refused = f"transcript: {limit + 1} characters: send at most {limit}"
    spoken = {"text": "Hello there.", "voice_id": "carl"}
    with running(bridge):
        async with client(bridge) as http:
            made = await http.post("/api/voices/clone", data=form, files=file)
            assert (made.status_code, made.json()["param"]) == (400, "transcript")
            assert made.json()["detail"].startswith(refused)
            made = await http.post("/api/voices/clone", data={**form, "transcript": "a" * limit}, files=file)
            assert made.status_code == 200, made.text
            told = await http.put("/api/voices/carl/transcript", json={"transcript": form["transcript"]})
            assert (told.status_code, told.json()["detail"].startswith(refused)) == (400, True)
            assert (await http.post("/api/tts/synthesize", json=spoken)).status_code == 200
            await place.execute("UPDATE orpheus_voices SET transcript = transcript || $1", " and more")
            async with asyncio.timeout(30):
                while await is_speakable(http, "carl"):  # noqa: ASYNC110  (it is another process's state)
                    await asyncio.sleep(0.2)
            old = await http.post("/api/tts/synthesize", json=spoken)
            openai = await http.post(
                "/v1/audio/speech", json={"model": "orpheus", "input": "Hello there.", "voice": {"id": "carl"}}
            )
    assert (old.status_code, old.json()["code"], old.json()["param"]) == (422, "unspeakable", "voice_id")
    assert f"its transcript is longer than the checkpoint's {limit} characters" in old.json()["detail"]
    assert (openai.status_code, openai.json()["error"]["param"]) == (422, "voice")
    assert len(bridge.engine.requests) == 1
