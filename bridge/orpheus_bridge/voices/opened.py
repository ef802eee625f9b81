"""Everything behind the voices, opened and closed in one place."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from orpheus_bridge.speech import Engine
from orpheus_bridge.voices.absent import AbsentStore
from orpheus_bridge.voices.book import VoiceBook
from orpheus_bridge.voices.database import Database
from orpheus_bridge.voices.embedded import EmbeddedPostgres
from orpheus_bridge.voices.encoder import TritonEncoder
from orpheus_bridge.voices.options import (
    DatabaseOptions,
    EmbeddedOptions,
    EncoderOptions,
    TranscriberOptions,
    UploadOptions,
    VoiceOptions,
)
from orpheus_bridge.voices.postgres import PostgresStore
from orpheus_bridge.voices.recording import RecordingReader
from orpheus_bridge.voices.register import FILL_S, Registrar
from orpheus_bridge.voices.store import VoiceStore
from orpheus_bridge.voices.transcribe import WhisperTranscriber


@dataclass(frozen=True, slots=True, kw_only=True)
class VoicesOptions:
    """All options of this package."""

    database: DatabaseOptions | EmbeddedOptions | None
    """A server, the embedded one, or none: then nothing can be stored."""
    voices: VoiceOptions = field(default_factory=VoiceOptions)
    upload: UploadOptions = field(default_factory=UploadOptions)
    encoder: EncoderOptions | None = None
    transcriber: TranscriberOptions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVoices:
    """What is open."""

    book: VoiceBook
    store: VoiceStore
    database: Database | None
    """For whoever keeps something else there; None without a database."""


@asynccontextmanager
async def opened_store(
    database: DatabaseOptions | EmbeddedOptions | None,
) -> AsyncIterator[tuple[VoiceStore, Database | None]]:
    """The store, with the embedded server started before it and ended after it.

    Raises:
        errors.Unavailable: the embedded server cannot be started; one elsewhere may come later.
    """
    if database is None:
        yield AbsentStore(), None
        return
    async with AsyncExitStack() as stack:
        if isinstance(database, EmbeddedOptions):
            database = (await stack.enter_async_context(EmbeddedPostgres(database))).database
        store = PostgresStore(database)
        stack.push_async_callback(store.close)
        yield store, store.database


@asynccontextmanager
async def opened_voices(engine: Engine, options: VoicesOptions) -> AsyncIterator[OpenVoices]:
    """The book with its store, read once if the database is there.

    Raises:
        errors.Unavailable: as `opened_store`.
    """
    async with opened_store(options.database) as (store, database):
        encoder, transcriber = options.encoder, options.transcriber
        registrar = Registrar(
            store,
            RecordingReader(options.upload),
            encoder=TritonEncoder(encoder) if encoder else None,
            transcriber=WhisperTranscriber(transcriber) if transcriber and transcriber.on_upload else None,
            fill_s=encoder.fill_s if encoder else FILL_S,
        )
        book = VoiceBook(engine, store, options.voices, registrar=registrar)
        try:
            await book.start()
            yield OpenVoices(book=book, store=store, database=database)
        finally:
            await book.close()
