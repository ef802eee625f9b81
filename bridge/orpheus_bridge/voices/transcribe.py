"""Transcripts proposed by a local recogniser, for recordings that came without one."""

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orpheus_bridge.errors import BridgeError, Failed, Late, Unavailable
from orpheus_bridge.voices.child import ChildFailed, ChildLimits, run_child
from orpheus_bridge.voices.options import TranscriberOptions
from orpheus_bridge.voices.recording import RecordingReader
from orpheus_bridge.voices.resolve import Checkpoints, cloning_checkpoint
from orpheus_bridge.voices.store import VoiceRow, VoiceStore
from orpheus_bridge.voices.transcript import checked_transcript
from orpheus_core.checkpoint import Checkpoint

SCRIPT = Path(__file__).with_name("_transcribe.py")
MAX_ANSWER_BYTES = 1 << 20


class Transcriber(Protocol):
    """Hears what is said."""

    async def transcribe(self, wav: bytes, language: str) -> str:
        """What is said in a WAV file; bounded in time.

        Raises:
            errors.Unavailable: the recogniser or its weights are not installed.
            errors.Late, errors.Failed: it took too long, or ended badly.
        """
        ...


class WhisperTranscriber:
    """faster-whisper in a child process, one at a time: it takes memory and every core."""

    def __init__(self, options: TranscriberOptions) -> None:
        self._options = options
        self._turn = asyncio.Lock()

    async def transcribe(self, wav: bytes, language: str) -> str:
        """See `Transcriber`."""
        given = self._options
        request = {"model": given.model, "language": language, "threads": given.threads}
        limits = ChildLimits(
            wall_s=given.wall_s,
            cpu_s=given.cpu_s,
            memory_bytes=given.memory_bytes,
            max_answer_bytes=MAX_ANSWER_BYTES,
        )
        try:
            async with asyncio.timeout(given.wall_s), self._turn:
                answer = await run_child(SCRIPT, request, wav, limits)
        except ChildFailed as error:
            raise Failed(f"the recogniser {error}") from None
        except TimeoutError:
            raise Late(f"the recogniser took longer than {given.wall_s:g} s") from None
        if "missing" in answer.table:
            raise Unavailable(str(answer.table["missing"]))
        return str(answer.table["text"])


@dataclass(frozen=True, slots=True)
class Proposal:
    """What became of one voice: a transcript, or the reason why there is none."""

    row: VoiceRow
    transcript: str | None
    problem: str | None = None


async def propose(
    store: VoiceStore,
    reader: RecordingReader,
    transcriber: Transcriber,
    voice_ids: Collection[str] = (),
    *,
    checkpoints: Checkpoints = (),
) -> AsyncIterator[Proposal]:
    """Transcripts for the voices without one, stored as machine-made; of `voice_ids` only, if there are any.

    A voice that is named gets a new one even if it has a machine's; a caller's is never replaced.

    Args:
        checkpoints: what is loaded, as far as it is known.

    Raises:
        errors.Unavailable: the database or the recogniser is not there.
    """
    for row in await store.rows():
        is_wanted = row.voice_id in voice_ids if voice_ids else row.transcript is None
        if is_wanted and row.transcript_origin != "caller":
            yield await _proposed(store, reader, transcriber, row, cloning_checkpoint(checkpoints, row.language))


async def _proposed(
    store: VoiceStore,
    reader: RecordingReader,
    transcriber: Transcriber,
    row: VoiceRow,
    speaking: Checkpoint | None,
) -> Proposal:
    data = await store.recording(row.voice_id)
    try:
        recording = await reader.read(data or b"")
        text = await transcriber.transcribe(recording.wav(), row.language)
        if not text:
            return Proposal(row, None, "nothing was understood")
        transcript = checked_transcript(text, speaking)
        return Proposal(await store.set_transcript(row.voice_id, transcript, "machine"), transcript)
    except Unavailable:
        raise
    except BridgeError as error:
        return Proposal(row, None, str(error))
