"""From an upload to a row: what is stored, what is told, and what the background makes up for."""

import asyncio
import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from orpheus_bridge.errors import BadRequest, Conflict, Failed, Late, Unavailable
from orpheus_bridge.fake_engine import CHECKPOINTS, FakeEngine
from orpheus_bridge.voices.book import VoiceBook
from orpheus_bridge.voices.fake import FakeEncoder, FakeStore, FakeTranscriber
from orpheus_bridge.voices.options import UploadOptions, VoiceOptions
from orpheus_bridge.voices.ports import Upload
from orpheus_bridge.voices.recording import KEPT_SAMPLES, Recording, RecordingReader
from orpheus_bridge.voices.register import Registrar
from orpheus_bridge.voices.store import NewVoice
from orpheus_bridge.voices.transcribe import propose

pytestmark = pytest.mark.unit

RATE_HZ = 24_000
SOUND = (8000 * np.sin(np.arange(2 * RATE_HZ) / 9)).astype(np.int16)
FRAMES = 24
"""Of two seconds, the last one padded."""


def wav(samples: np.ndarray = SOUND) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format="WAV")
    return file.getvalue()


UPLOAD = Upload(voice_id="anna", name="Anna", data=wav())


def registrar(store: FakeStore, encoder: FakeEncoder | None = None, heard: FakeTranscriber | None = None) -> Registrar:
    return Registrar(store, RecordingReader(UploadOptions()), encoder=encoder, transcriber=heard)


async def test_an_upload_becomes_a_voice() -> None:
    store = FakeStore()
    upload = replace(UPLOAD, transcript=" Hello,\nI am Anna. ", language="en-US")
    row, notes = await registrar(store, FakeEncoder()).register(upload)
    assert (row.voice_id, row.name, row.language, row.transcript) == ("anna", "Anna", "en", "Hello, I am Anna.")
    assert (row.transcript_origin, row.has_codes, notes) == ("caller", True, ())
    kept = await store.recording("anna")
    assert kept is not None
    samples, rate_hz = soundfile.read(io.BytesIO(kept), dtype="int16")
    assert rate_hz == RATE_HZ
    np.testing.assert_array_equal(samples, SOUND)
    reference = await store.reference("anna")
    assert reference is not None
    assert reference.codes.shape == (FRAMES, 7)
    assert reference.codes.dtype == np.uint16
    assert reference.codes[0, 0] == pytest.approx(8000 / np.sqrt(2) % 4096, rel=0.05)


async def test_what_is_missing_is_told() -> None:
    _, notes = await registrar(FakeStore()).register(replace(UPLOAD, data=wav(np.tile(SOUND, 20))))
    assert notes == (
        "only the first 30 s of 40 s are kept",
        "it has no transcript yet: it cannot be spoken as itself until one is set",
        "it is not encoded yet: it cannot be spoken as itself until an encoder is there",
    )


async def test_a_machines_transcript_is_marked() -> None:
    row, notes = await registrar(FakeStore(), FakeEncoder(), FakeTranscriber()).register(UPLOAD)
    assert (row.transcript, row.transcript_origin) == ("What a machine heard.", "machine")
    assert notes == ("its transcript was made by a machine: correct it if need be",)


async def test_a_callers_transcript_is_not_second_guessed() -> None:
    row, _ = await registrar(FakeStore(), None, FakeTranscriber()).register(replace(UPLOAD, transcript="Mine."))
    assert (row.transcript, row.transcript_origin) == ("Mine.", "caller")


@pytest.mark.parametrize("error", [Unavailable("none"), Late("slow"), Failed("broken")])
async def test_helpers_that_fail_do_not_keep_a_voice_out(error: Unavailable) -> None:
    encoder, heard = FakeEncoder(), FakeTranscriber()
    encoder.error = Unavailable("none")
    heard.error = error
    row, notes = await registrar(FakeStore(), encoder, heard).register(UPLOAD)
    assert (row.transcript, row.has_codes) == (None, False)
    assert len(notes) == 2


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": " "}, "voice_name"),
        ({"name": "a" * 256}, "voice_name"),
        ({"name": "a\0"}, "voice_name"),
        ({"language": "english"}, "language"),
        ({"transcript": "<|eot_id|>"}, "transcript"),
        ({"data": b"no audio"}, "file"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_stored(wrong: dict[str, object], field: str) -> None:
    store = FakeStore()
    with pytest.raises(BadRequest, match=f"^{field}: ") as caught:
        await registrar(store).register(replace(UPLOAD, **wrong))  # type: ignore[arg-type]  # fields by name
    assert caught.value.param == field
    assert await store.rows() == ()


async def test_an_id_that_came_in_meanwhile() -> None:
    store = FakeStore(NewVoice(voice_id="anna", name="Anna", wav=b"w"))
    with pytest.raises(Conflict):
        await registrar(store).register(UPLOAD)


async def test_the_background_encodes_what_is_not_encoded() -> None:
    old = NewVoice(voice_id="old", name="Old", wav=wav(), transcript="Old.", transcript_origin="caller")
    store = FakeStore(old, NewVoice(voice_id="broken", name="Broken", wav=b"\1\2"))
    encoder = FakeEncoder()
    filling = registrar(store, encoder)
    book = VoiceBook(FakeEngine(checkpoints=(replace(CHECKPOINTS[0], can_clone=True),)), store, VoiceOptions(),
                     registrar=filling)  # fmt: skip
    assert not (await book.find("old")).details["speakable"]
    assert await filling.fill() == 1
    assert (await book.find("old")).details["speakable"], "the book is told"
    store.calls.clear()
    assert await filling.fill() == 0
    assert store.calls.count("recording") == 0, "what cannot be decoded is not tried again"
    assert encoder.encoded == 1


async def test_without_own_tables_only_the_recording_is_kept() -> None:
    store = FakeStore()
    store.has_own_tables = False
    encoder = FakeEncoder()
    row, notes = await registrar(store, encoder, FakeTranscriber()).register(UPLOAD)
    assert (row.transcript, row.has_codes, encoder.encoded, len(notes)) == (None, False, 0, 2)
    with pytest.raises(Unavailable):
        await registrar(store).register(replace(UPLOAD, voice_id="ben", transcript="Words."))


async def test_one_recording_that_is_too_large_or_slow_does_not_keep_the_others_waiting() -> None:
    store = FakeStore(
        NewVoice(voice_id="large", name="1", wav=bytes(500_000)), NewVoice(voice_id="old", name="2", wav=wav())
    )
    reader = RecordingReader(UploadOptions(max_bytes=200_000))
    assert await Registrar(store, reader, encoder=FakeEncoder()).fill() == 1
    reader = RecordingReader(UploadOptions(wall_s=0.001))
    assert await Registrar(store, reader, encoder=FakeEncoder()).fill() == 0


async def test_the_background_waits_for_an_encoder_and_for_tables() -> None:
    store = FakeStore(NewVoice(voice_id="old", name="Old", wav=wav()))
    encoder = FakeEncoder()
    filling = registrar(store, encoder)
    store.has_own_tables = False
    assert await filling.fill() == 0
    assert encoder.encoded == 0
    store.has_own_tables = True
    encoder.error = Unavailable("snac_encoder does not answer")
    with pytest.raises(Unavailable):
        await filling.fill()
    encoder.error = None
    assert await filling.fill() == 1


async def test_the_background_goes_on_after_a_bad_round() -> None:
    store = FakeStore(NewVoice(voice_id="old", name="Old", wav=wav()))
    encoder = FakeEncoder()
    filling = Registrar(store, RecordingReader(UploadOptions()), encoder=encoder, fill_s=0.01)
    done = asyncio.Event()

    async def changed() -> None:
        done.set()

    filling.when_changed = changed
    store.error = Unavailable("away")
    filling.start()
    await asyncio.sleep(0.05)
    store.error = None
    await asyncio.wait_for(done.wait(), 10)
    await filling.close()
    rows = await store.rows()
    assert rows[0].has_codes


class NoReader(RecordingReader):
    """Every recording is the same."""

    def __init__(self) -> None:
        super().__init__(UploadOptions())

    async def read(self, data: bytes) -> Recording:
        return Recording(SOUND, KEPT_SAMPLES / RATE_HZ)


async def test_transcripts_are_proposed_for_those_without() -> None:
    given = NewVoice(voice_id="given", name="1", wav=b"w", transcript="Given.", transcript_origin="caller")
    guessed = NewVoice(voice_id="guessed", name="2", wav=b"w", transcript="Guess.", transcript_origin="machine")
    store = FakeStore(given, guessed, NewVoice(voice_id="mute", name="3", wav=b"w"))
    found = [p async for p in propose(store, NoReader(), FakeTranscriber("Heard."))]
    assert [(p.row.voice_id, p.transcript, p.row.transcript_origin) for p in found] == [("mute", "Heard.", "machine")]
    named = ("given", "guessed")
    found = [p async for p in propose(store, NoReader(), FakeTranscriber("Again."), named)]
    assert [p.row.voice_id for p in found] == ["guessed"], "a caller's is never replaced"
    row = await store.row("guessed")
    assert row is not None
    assert (row.transcript, row.transcript_origin) == ("Again.", "machine")


async def test_what_is_not_understood_is_told() -> None:
    store = FakeStore(NewVoice(voice_id="mute", name="3", wav=b"w"))
    found = [p async for p in propose(store, NoReader(), FakeTranscriber(""))]
    assert [(p.transcript, p.problem) for p in found] == [(None, "nothing was understood")]
    found = [p async for p in propose(store, RecordingReader(UploadOptions()), FakeTranscriber())]
    assert found[0].problem == "file: is not WAV, FLAC, OGG, MP3 or M4A"
    found = [p async for p in propose(store, NoReader(), FakeTranscriber("a" * 401), checkpoints=CHECKPOINTS)]
    assert str(found[0].problem).startswith("transcript: 401 characters: send at most 400")
    assert (await store.rows())[0].transcript is None
