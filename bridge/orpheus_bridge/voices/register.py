"""New voices: from an upload to a row, and codes for rows that have none yet."""

import asyncio
from collections.abc import Awaitable, Callable

from orpheus_bridge.errors import BadRequest, BridgeError, Conflict, Failed, Late, NotFound, TooLarge, Unavailable
from orpheus_bridge.telemetry.log import logger
from orpheus_bridge.voices.encoder import Codes, Encoder
from orpheus_bridge.voices.ports import Upload
from orpheus_bridge.voices.recording import KEPT_S, Recording, RecordingReader
from orpheus_bridge.voices.resolve import Checkpoints, cloning_checkpoint
from orpheus_bridge.voices.store import NewVoice, TranscriptOrigin, VoiceRow, VoiceStore
from orpheus_bridge.voices.transcribe import Transcriber
from orpheus_bridge.voices.transcript import checked_transcript
from orpheus_core.checkpoint import Checkpoint

MAX_NAME_CHARS = 255
MAX_HOPELESS = 10_000
FILL_S = 30.0

Proposed = tuple[str | None, TranscriptOrigin | None]
NOTHING_PROPOSED: Proposed = (None, None)

_LANGUAGE_CHARS = range(2, 4)


class Registrar:
    """Takes uploads in, and has what is missing made in the background.

    Args:
        encoder: None where Triton has no encoder.
        transcriber: None unless uploads without a transcript get one at once.
        fill_s: pause between two looks for rows without codes.
    """

    def __init__(
        self,
        store: VoiceStore,
        reader: RecordingReader,
        *,
        encoder: Encoder | None = None,
        transcriber: Transcriber | None = None,
        fill_s: float = FILL_S,
    ) -> None:
        self._store = store
        self._reader = reader
        self._encoder = encoder
        self._transcriber = transcriber
        self._fill_s = fill_s
        self._hopeless: set[tuple[str, str]] = set()
        self._filler: asyncio.Task[None] | None = None
        self.when_changed: Callable[[], Awaitable[None]] | None = None
        """Called after the background has changed a row."""

    def start(self) -> None:
        """Looks for rows without codes from now on."""
        if self._encoder is not None:
            self._filler = asyncio.create_task(self._fill_for_ever())

    async def close(self) -> None:
        """Ends that."""
        if self._filler is not None:
            self._filler.cancel()
            await asyncio.gather(self._filler, return_exceptions=True)
            self._filler = None
        if self._encoder is not None:
            await self._encoder.close()

    async def register(self, upload: Upload, checkpoints: Checkpoints = ()) -> tuple[VoiceRow, tuple[str, ...]]:
        """The new row, and notes for the caller.

        Args:
            checkpoints: what is loaded, as far as it is known.

        Raises:
            errors.BadRequest, errors.TooLarge, errors.Busy, errors.Late: as `RecordingReader.read`; a field is wrong.
            errors.Conflict: the id exists.
            errors.Unavailable: the database is away.
        """
        name = _checked_name(upload.name)
        language = _checked_language(upload.language)
        speaking = cloning_checkpoint(checkpoints, language)
        given = checked_transcript(upload.transcript, speaking) if upload.transcript else None
        recording = await self._reader.read(upload.data)
        codes, (proposed, origin) = await self._derived(recording, language, speaking, is_transcribed=given is not None)
        voice = NewVoice(
            voice_id=upload.voice_id,
            name=name,
            wav=recording.wav(),
            language=language,
            transcript=given or proposed,
            transcript_origin="caller" if given else origin,
            codes=codes,
        )
        row = await self._store.add(voice)
        return row, _notes(recording, row)

    async def fill(self) -> int:
        """Encodes every row without codes; how many were.

        Raises:
            errors.Unavailable: the database or the encoder is away.
        """
        if self._encoder is None or not (await self._store.state()).has_own_tables:
            return 0
        filled = 0
        for row in await self._store.rows():
            if not row.has_codes and (row.voice_id, row.revision) not in self._hopeless:
                filled += await self._fill_one(row, self._encoder)
        if filled and self.when_changed is not None:
            await self.when_changed()
        return filled

    async def _fill_one(self, row: VoiceRow, encoder: Encoder) -> bool:
        data = await self._store.recording(row.voice_id)
        if data is None:
            return False
        try:
            codes = await encoder.encode((await self._reader.read(data)).samples)
            await self._store.set_codes(row.voice_id, codes, recording=data)
        except (Conflict, NotFound, Late):
            return False
        except (BadRequest, TooLarge, Failed) as error:
            # The same recording will not become better; another one is another revision.
            if len(self._hopeless) >= MAX_HOPELESS:
                self._hopeless.clear()
            self._hopeless.add((row.voice_id, row.revision))
            logger().warning("voice_not_encoded", pii_voice_id=row.voice_id, error=error.code)
            return False
        return True

    async def _fill_for_ever(self) -> None:
        while True:
            try:
                await self.fill()
            except BridgeError as error:
                logger().info("voices_not_encoded", error=error.code)
            except Exception:
                # This task must outlive every fault of a single round.
                logger().exception("voices_not_encoded")
            await asyncio.sleep(self._fill_s)

    async def _derived(
        self, recording: Recording, language: str, speaking: Checkpoint | None, *, is_transcribed: bool
    ) -> tuple[Codes | None, Proposed]:
        """Codes and a transcript, made at the same time: the caller does not wait for long."""
        if not (await self._store.state()).has_own_tables:
            # There is nowhere to keep them.
            return None, NOTHING_PROPOSED
        async with asyncio.TaskGroup() as tasks:
            codes = tasks.create_task(self._codes(recording))
            if is_transcribed or self._transcriber is None:
                return await codes, NOTHING_PROPOSED
            proposed = tasks.create_task(self._proposed(recording, language, speaking, self._transcriber))
        return codes.result(), proposed.result()

    async def _codes(self, recording: Recording) -> Codes | None:
        if self._encoder is None:
            return None
        try:
            return await self._encoder.encode(recording.samples)
        except (Unavailable, Failed):
            return None

    async def _proposed(
        self, recording: Recording, language: str, speaking: Checkpoint | None, transcriber: Transcriber
    ) -> Proposed:
        try:
            text = await transcriber.transcribe(recording.wav(), language)
            return checked_transcript(text, speaking), "machine"
        except (BadRequest, Unavailable, Late, Failed) as error:
            logger().warning("voice_not_transcribed", error=error.code)
            return NOTHING_PROPOSED


def _checked_name(name: str) -> str:
    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_CHARS:
        raise BadRequest(f"voice_name: {len(name)} characters: send 1 to 255 printable ones", param="voice_name")
    return name.strip()


def _checked_language(language: str | None) -> str:
    if language is None:
        return "en"
    primary = language.strip().replace("_", "-").split("-")[0].lower()
    if len(primary) not in _LANGUAGE_CHARS or not (primary.isascii() and primary.isalpha()):
        raise BadRequest(f"language: {language[:40]!r}: send a code such as en or fr", param="language")
    return primary


def _notes(recording: Recording, row: VoiceRow) -> tuple[str, ...]:
    notes = []
    if recording.is_trimmed:
        notes.append(f"only the first {KEPT_S:.0f} s of {recording.source_s:.0f} s are kept")
    if row.transcript is None:
        notes.append("it has no transcript yet: it cannot be spoken as itself until one is set")
    elif row.transcript_origin == "machine":
        notes.append("its transcript was made by a machine: correct it if need be")
    if not row.has_codes:
        notes.append("it is not encoded yet: it cannot be spoken as itself until an encoder is there")
    return tuple(notes)
