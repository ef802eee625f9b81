"""Who speaks for a voice id: alias, preset, stored voice, in this order; and what is said where nobody does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from orpheus_bridge.errors import BadRequest, Conflict, NotFound, Unavailable, Unspeakable
from orpheus_bridge.fake_engine import CHECKPOINTS, FakeEngine
from orpheus_bridge.voices.absent import AbsentStore
from orpheus_bridge.voices.book import VoiceBook
from orpheus_bridge.voices.fake import FakeStore
from orpheus_bridge.voices.options import UploadOptions, VoiceOptions
from orpheus_bridge.voices.ports import Upload, Voices
from orpheus_bridge.voices.recording import RecordingReader
from orpheus_bridge.voices.register import Registrar
from orpheus_bridge.voices.store import NewVoice, VoiceStore
from orpheus_client import ConnectionFailed
from orpheus_core.checkpoint import Checkpoint

pytestmark = pytest.mark.unit

CODES = np.arange(14, dtype=np.uint16).reshape(2, 7)
ANNA = NewVoice(
    voice_id="anna", name="Anna", wav=b"a", transcript="I am Anna.", transcript_origin="caller", codes=CODES
)
MUTE = NewVoice(voice_id="mute", name="Mute", wav=b"m")
PRESETS = (replace(CHECKPOINTS[0], can_clone=False),)
CLONING = (*PRESETS, replace(PRESETS[0], name="cloning", voices={}, can_clone=True, languages=("en",)))


@asynccontextmanager
async def opened(
    store: VoiceStore, options: VoiceOptions | None = None, checkpoints: tuple[Checkpoint, ...] = CLONING
) -> AsyncIterator[VoiceBook]:
    registrar = Registrar(store, RecordingReader(UploadOptions()))
    book = VoiceBook(FakeEngine(checkpoints=checkpoints), store, options or VoiceOptions(), registrar=registrar)
    await book.start()
    try:
        yield book
    finally:
        await book.close()


async def test_a_preset_needs_no_row() -> None:
    async with opened(FakeStore()) as book:
        voices: Voices = book
        speaker = await voices.speaker("leo", None)
        assert (speaker.name, speaker.language, speaker.reference, speaker.fell_back) == ("leo", "en", None, False)
        assert (await book.speaker("长乐", "zh-cn")).language == "zh"


async def test_a_stored_voice_is_spoken_from_its_reference() -> None:
    async with opened(FakeStore(ANNA)) as book:
        speaker = await book.speaker("anna", "en-GB")
    assert (speaker.name, speaker.language) == ("anna", "en")
    assert speaker.reference is not None
    assert speaker.reference.text == "I am Anna."
    np.testing.assert_array_equal(speaker.reference.codes, CODES.reshape(-1))


@pytest.mark.parametrize(
    ("setting", "language", "expected"),
    [(None, None, "tara"), (None, "zh", "长乐"), ("leo", "en", "leo"), ("leo", "zh", "长乐"), ("anna", "en", "anna")],
)
async def test_default_is_an_alias_whatever_rows_exist(
    setting: str | None, language: str | None, expected: str
) -> None:
    june = replace(ANNA, voice_id="default", name="June Default")
    store = FakeStore(ANNA, june, aliases={"default": "tara"})
    async with opened(store, VoiceOptions(default_voice=setting)) as book:
        assert (await book.speaker("default", language)).name == expected


async def test_an_alias_comes_before_a_preset_and_a_preset_before_a_row() -> None:
    store = FakeStore(ANNA, replace(ANNA, voice_id="tara"), aliases={"leo": "anna", "june": "leo", "alloy": "default"})
    options = VoiceOptions(aliases={"june": "tara", "nova": "tara"}, default_voice="leo")
    async with opened(store, options) as book:
        assert (await book.speaker("leo", None)).reference is not None
        assert (await book.speaker("tara", None)).reference is None
        assert (await book.speaker("nova", None)).name == "tara"
        assert (await book.speaker("alloy", None)).name == "leo"
        assert (await book.speaker("june", None)).name == "leo", "the table comes before the setting"


async def test_an_unknown_voice_lists_the_known() -> None:
    async with opened(FakeStore(ANNA)) as book:
        with pytest.raises(
            NotFound, match=r"^voice_id: 'bob': no such voice: use one of default, tara, leo, 长乐, anna$"
        ):
            await book.speaker("bob", None)


async def test_an_alias_that_leads_nowhere_names_its_target() -> None:
    async with opened(FakeStore(), VoiceOptions(aliases={"june": "gone"})) as book:
        with pytest.raises(NotFound, match="'gone'"):
            await book.speaker("june", None)


@pytest.mark.parametrize("voice_id", ["tara", "anna", "default", "mute"])
async def test_a_language_that_nothing_speaks(voice_id: str) -> None:
    async with opened(FakeStore(ANNA, MUTE), VoiceOptions(fallback="tara")) as book:
        with pytest.raises(BadRequest, match=r"language: 'fr': send one of en, zh"):
            await book.speaker(voice_id, "fr")


async def test_a_preset_of_another_language_is_told() -> None:
    async with opened(FakeStore()) as book:
        with pytest.raises(BadRequest, match=r"voice: 'tara': send one of 长乐"):
            await book.speaker("tara", "zh")


@pytest.mark.parametrize(
    ("voice", "checkpoints", "language", "reason"),
    [
        (MUTE, CLONING, None, "it has no transcript"),
        (replace(ANNA, codes=None), CLONING, None, "not encoded yet"),
        (ANNA, PRESETS, None, "no loaded checkpoint clones voices$"),
        (ANNA, CLONING, "zh", "no loaded checkpoint clones voices in 'zh'"),
        (replace(ANNA, transcript="a" * 401), CLONING, None, "longer than the checkpoint's 400 characters"),
    ],
)
async def test_a_voice_that_cannot_be_spoken_as_itself(
    voice: NewVoice, checkpoints: tuple[Checkpoint, ...], language: str | None, reason: str
) -> None:
    async with opened(FakeStore(voice), checkpoints=checkpoints) as book:
        with pytest.raises(
            Unspeakable, match=rf"^voice_id: '{voice.voice_id}': cannot be spoken as itself: .*{reason}"
        ):
            await book.speaker(voice.voice_id, language)
        assert (await book.state()).unspeakable == (0 if language else 1)
    async with opened(FakeStore(voice), VoiceOptions(fallback="leo"), checkpoints) as book:
        speaker = await book.speaker(voice.voice_id, language)
        assert (speaker.name, speaker.fell_back) == ("长乐" if language else "leo", True)
    async with opened(FakeStore(voice), VoiceOptions(fallback="nobody"), checkpoints) as book:
        with pytest.raises(Unspeakable):
            await book.speaker(voice.voice_id, language)


async def test_the_list_names_each_id_once_by_what_would_speak() -> None:
    store = FakeStore(ANNA, MUTE, replace(ANNA, voice_id="default", name="June Default"), aliases={"june": "leo"})
    async with opened(store) as book:
        listed = {voice.voice_id: voice for voice in await book.listed()}
        assert {name: voice.kind for name, voice in listed.items()} == {
            **{"anna": "stored", "mute": "stored", "default": "alias", "june": "alias"},
            **{"tara": "preset", "leo": "preset", "长乐": "preset"},
        }
        assert listed["default"].name == "June Default"
        assert listed["default"].created_at is not None
        assert listed["tara"].created_at is None
        assert listed["anna"].details["speakable"] is True
        assert listed["mute"].details["reason"] == "it has no transcript: set one"
        assert listed["june"].details == {"target": "leo"}
        assert await book.find("anna") == listed["anna"]
        with pytest.raises(NotFound):
            await book.find("bob")


async def test_the_list_outlives_the_speech_server() -> None:
    engine = FakeEngine(checkpoints=CLONING)
    store = FakeStore(ANNA)
    book = VoiceBook(engine, store, VoiceOptions(), registrar=Registrar(store, RecordingReader(UploadOptions())))
    before = await book.listed()

    async def away() -> tuple[Checkpoint, ...]:
        raise ConnectionFailed("127.0.0.1:1: no connection")

    engine.checkpoints = away  # type: ignore[method-assign]  # the server goes away
    assert await book.listed() == before
    with pytest.raises(Unavailable, match=r"^the speech server cannot speak now$"):
        await book.speaker("tara", None)


async def test_deleting() -> None:
    store = FakeStore(ANNA, replace(ANNA, voice_id="default"), aliases={"june": "anna"})
    async with opened(store) as book:
        for name, kind in (("tara", "a preset"), ("june", "an alias"), ("default", "an alias")):
            with pytest.raises(Conflict, match=f"'{name}': names {kind}: it cannot be deleted"):
                await book.delete(name)
        await book.delete("anna")
        for name in ("anna", "bob", "a\0b", "", "a/b", "\ud800"):
            with pytest.raises(NotFound):
                await book.delete(name)
        assert "anna" not in {voice.voice_id for voice in await book.listed()}
        with pytest.raises(NotFound):
            await book.speaker("anna", None)


async def test_a_transcript_is_set_and_seen_at_once() -> None:
    async with opened(FakeStore(replace(MUTE, codes=CODES))) as book:
        voice = await book.set_transcript("mute", "  Now I\nspeak. ")
        assert (voice.details["transcript"], voice.details["transcript_origin"]) == ("Now I speak.", "caller")
        speaker = await book.speaker("mute", None)
        assert speaker.reference is not None
        assert speaker.reference.text == "Now I speak."
        for wrong in (" ", "a" * 401, "<custom_token_5>", "a\0"):
            with pytest.raises(BadRequest, match=r"^transcript: "):
                await book.set_transcript("mute", wrong)
        with pytest.raises(NotFound):
            await book.set_transcript("nobody", "Words.")
        with pytest.raises(NotFound):
            await book.set_transcript("a\0b", "Words.")


TALKATIVE = (*PRESETS, replace(CLONING[1], max_text_chars=600))
READING = (*PRESETS, replace(CLONING[1], normaliser="english"))
NUMBERS = "1984, " * 50


@pytest.mark.parametrize(
    ("checkpoints", "text", "refused"),
    [
        (CLONING, "a" * 400, None),
        (CLONING, f"{'a ' * 201}", "401 characters: send at most 400"),
        (TALKATIVE, "a" * 600, None),
        (TALKATIVE, "a" * 601, "601 characters: send at most 600"),
        (PRESETS, "a" * 401, "401 characters: send at most 400"),
        (CLONING, NUMBERS, None),
        (READING, NUMBERS, "characters with its numbers and signs written out: send at most 400"),
        (CLONING, "a" * 10_000, "10000 characters: send at most 400"),
    ],
)
async def test_a_transcript_is_no_longer_than_what_the_checkpoint_that_clones_takes(
    checkpoints: tuple[Checkpoint, ...], text: str, refused: str | None
) -> None:
    async with opened(FakeStore(replace(MUTE, codes=CODES)), checkpoints=checkpoints) as book:
        if refused is None:
            assert (await book.set_transcript("mute", text)).details["speakable"] is True
            assert (await book.speaker("mute", None)).reference is not None
            return
        upload = Upload(voice_id="new", name="New", data=b"looked at later", transcript=text)
        for telling in (book.set_transcript("mute", text), book.register(upload)):
            with pytest.raises(BadRequest, match=rf"^transcript: .*{refused}") as caught:
                await telling
            assert caught.value.param == "transcript"


async def test_while_the_speech_server_was_never_there_a_transcript_has_the_usual_length() -> None:
    engine, store = FakeEngine(), FakeStore(MUTE)

    async def away() -> tuple[Checkpoint, ...]:
        raise ConnectionFailed("127.0.0.1:1: no connection")

    engine.checkpoints = away  # type: ignore[method-assign]  # it does not answer
    book = VoiceBook(engine, store, VoiceOptions(), registrar=Registrar(store, RecordingReader(UploadOptions())))
    assert (await book.set_transcript("mute", "a" * 400)).details["transcript"] == "a" * 400
    with pytest.raises(BadRequest, match=r"^transcript: 401 characters: send at most 400"):
        await book.set_transcript("mute", "a" * 401)


async def test_a_stored_transcript_that_grows_too_long_when_read_is_no_fault_of_the_server() -> None:
    store = FakeStore(replace(ANNA, transcript=NUMBERS.strip()))
    async with opened(store, checkpoints=READING) as book:
        with pytest.raises(Unspeakable, match=r"^voice_id: 'anna': .*its transcript: \d+ characters with its numbers"):
            await book.speaker("anna", None)
    async with opened(store, VoiceOptions(fallback="leo"), READING) as book:
        assert (await book.speaker("anna", None)).fell_back


@pytest.mark.parametrize("voice_id", ["", " a", "a/b", "a\nb", "a" * 256])
async def test_ids_that_cannot_be_registered(voice_id: str) -> None:
    async with opened(FakeStore()) as book:
        with pytest.raises(BadRequest, match=r"^voice_id: "):
            await book.register(Upload(voice_id=voice_id, name="A", data=b""))


@pytest.mark.parametrize("voice_id", ["tara", "default", "june", "anna"])
async def test_ids_that_are_taken(voice_id: str) -> None:
    async with opened(FakeStore(ANNA, aliases={"june": "leo"})) as book:
        with pytest.raises(Conflict, match=f"^voice_id: '{voice_id}': "):
            await book.register(Upload(voice_id=voice_id, name="A", data=b""))


async def test_while_the_database_is_away_presets_and_what_is_known_speak() -> None:
    store = FakeStore(ANNA, MUTE, aliases={"june": "leo"})
    async with opened(store) as book:
        store.error = Unavailable("the database does not answer")
        assert (await book.speaker("tara", None)).name == "tara"
        assert (await book.speaker("june", None)).name == "leo"
        assert (await book.speaker("anna", None)).reference is not None, "its codes were read ahead"
        assert {voice.voice_id for voice in await book.listed()} >= {"anna", "tara"}
        with pytest.raises(Unavailable):
            await book.set_transcript("mute", "Words.")


async def test_a_database_that_never_was_there_does_not_keep_presets_from_speaking() -> None:
    store = FakeStore(ANNA)
    store.error = Unavailable("the database does not answer")
    async with opened(store, VoiceOptions(aliases={"nova": "tara"})) as book:
        assert (await book.speaker("default", None)).name == "tara"
        assert (await book.speaker("nova", None)).name == "tara"
        with pytest.raises(Unavailable, match="the stored voices are not known"):
            await book.speaker("anna", None)
        state = await book.state()
        assert (state.connected, state.stored) == (False, 0)


async def test_without_a_database() -> None:
    async with opened(AbsentStore()) as book:
        assert (await book.speaker("tara", None)).name == "tara"
        with pytest.raises(NotFound):
            await book.speaker("anna", None)
        assert {voice.kind for voice in await book.listed()} == {"preset", "alias"}
        with pytest.raises(Unavailable, match="no database is configured"):
            await book.delete("anna")


async def test_rows_that_somebody_else_added_are_found_at_once() -> None:
    store = FakeStore()
    async with opened(store) as book:
        await store.add(ANNA)
        assert (await book.find("tara")).kind == "preset"
        book._cached._latest = replace(book._cached._latest, taken_s=book._cached._latest.taken_s - 1)
        assert (await book.speaker("anna", None)).reference is not None
