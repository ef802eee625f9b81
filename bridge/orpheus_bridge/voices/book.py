"""The voices as the routes see them: presets, aliases and stored voices in one book."""

from collections.abc import Mapping
from dataclasses import replace

from orpheus_bridge.errors import BadRequest, BridgeError, Conflict, Unspeakable, from_speech
from orpheus_bridge.speech import Engine
from orpheus_bridge.voices import resolve
from orpheus_bridge.voices.cache import CachedVoices, Snapshot
from orpheus_bridge.voices.options import VoiceOptions
from orpheus_bridge.voices.ports import ListedVoice, Speaker, Upload, VoicesState
from orpheus_bridge.voices.register import Registrar
from orpheus_bridge.voices.resolve import DEFAULT, Checkpoints
from orpheus_bridge.voices.store import VoiceRow, VoiceStore
from orpheus_bridge.voices.transcript import checked_transcript, obstacle
from orpheus_client import Reference, SpeechError
from orpheus_core.choice import Choice
from orpheus_core.errors import shown


class VoiceBook:
    """The `Voices` of the API.

    `start` it in the event loop that serves and `close` it there; the store stays its owner's.
    """

    def __init__(self, engine: Engine, store: VoiceStore, options: VoiceOptions, *, registrar: Registrar) -> None:
        self._engine = engine
        self._store = store
        self._options = options
        self._registrar = registrar
        self._cached = CachedVoices(store, options)
        self._checkpoints: Checkpoints = ()
        registrar.when_changed = self._cached.changed

    async def start(self) -> None:
        """Reads the store, if it is there, and has recordings encoded that are not."""
        await self._cached.start()
        self._registrar.start()

    async def close(self) -> None:
        """Ends both."""
        await self._registrar.close()
        await self._cached.close()

    async def speaker(self, voice_id: str, language: str | None) -> Speaker:
        """Who speaks for a voice id.

        Raises:
            errors.NotFound: nobody has this id; with those that are known.
            errors.BadRequest: the voice does not speak this language, or nothing loaded does.
            errors.Unspeakable: a stored voice that cannot be spoken as itself, and there is no fallback.
            errors.Unavailable: the speech server is away, or the database for longer than is bridged.
        """
        checkpoints = await self._loaded()
        name = self._meant(voice_id)
        if name is None:
            return _preset(resolve.choose_default(checkpoints, None, language))
        if name in resolve.presets(checkpoints):
            choice_of = resolve.choose_default if self._is_default(voice_id) else resolve.choose_preset
            return _preset(choice_of(checkpoints, name, language))
        row = await self._row(name)
        if row is None:
            raise resolve.nobody(name, checkpoints, self._cached.latest.rows)
        return await self._stored(row, language, checkpoints)

    async def listed(self) -> tuple[ListedVoice, ...]:
        """Stored voices, presets and aliases; each id once, as what would speak."""
        checkpoints = await self._last_loaded()
        snapshot = await self._cached.fresh()
        return tuple(self._entries(snapshot, checkpoints).values())

    async def find(self, voice_id: str) -> ListedVoice:
        """
        Raises:
            errors.NotFound: nobody has this id.
        """
        checkpoints = await self._last_loaded()
        found = self._entries(self._cached.latest, checkpoints).get(voice_id)
        if found is None:
            snapshot = await self._cached.fresh()
            found = self._entries(snapshot, checkpoints).get(voice_id)
        if found is None:
            raise resolve.nobody(voice_id, checkpoints, self._cached.latest.rows)
        return found

    async def delete(self, voice_id: str) -> None:
        """
        Raises:
            errors.NotFound: nobody has this id.
            errors.Conflict: a preset or an alias.
        """
        await self._refuse_own_names(voice_id, "it cannot be deleted")
        if not _is_storable(voice_id) or not await self._store.delete(voice_id):
            raise resolve.nobody(voice_id, await self._last_loaded(), self._cached.latest.rows)
        await self._cached.changed()

    async def register(self, upload: Upload) -> tuple[ListedVoice, tuple[str, ...]]:
        """The voice as it is listed now, and notes for the caller.

        Raises:
            errors.Conflict: the id is taken.
            errors.BadRequest, errors.TooLarge: id, name or recording cannot be used, with the reason.
            errors.Busy: too many recordings are looked at already.
            errors.Unavailable: there is no database, or it is away.
        """
        if not _is_storable(upload.voice_id):
            raise BadRequest(
                f"voice_id: {shown(upload.voice_id)}: use 1 to 255 printable characters, no slash", param="voice_id"
            )
        await self._refuse_own_names(upload.voice_id, "choose another")
        if upload.voice_id in (await self._cached.fresh()).rows:
            raise Conflict(f"voice_id: {shown(upload.voice_id)}: exists already: choose another", param="voice_id")
        checkpoints = await self._last_loaded()
        row, notes = await self._registrar.register(upload, checkpoints)
        await self._cached.changed()
        return self._stored_entry(row, checkpoints), notes

    async def set_transcript(self, voice_id: str, transcript: str) -> ListedVoice:
        """
        Raises:
            errors.NotFound: no such stored voice.
            errors.BadRequest: nothing to say, or something that cannot be part of a prompt.
        """
        checkpoints = await self._last_loaded()
        before = await self._row(voice_id)
        speaking = resolve.cloning_checkpoint(checkpoints, before.language if before else None)
        text = checked_transcript(transcript, speaking)
        if not _is_storable(voice_id):
            raise resolve.nobody(voice_id, checkpoints, self._cached.latest.rows)
        row = await self._store.set_transcript(voice_id, text, "caller")
        await self._cached.changed()
        return self._stored_entry(row, checkpoints)

    async def state(self) -> VoicesState:
        """Never raises, and asks nobody who may be slow."""
        latest = self._cached.latest
        checkpoints = await self._last_loaded()
        mute = [row for row in latest.rows.values() if self._obstacle(row, checkpoints)]
        return VoicesState(
            connected=self._cached.connected,
            has_own_tables=latest.state.has_own_tables,
            stored=len(latest.rows),
            unspeakable=len(mute),
        )

    async def _stored(self, row: VoiceRow, language: str | None, checkpoints: Checkpoints) -> Speaker:
        # A language that nothing speaks is the request's fault, not the voice's.
        wanted = resolve.known_language(checkpoints, language)
        choice = resolve.cloning_choice(checkpoints, row, wanted)
        if isinstance(choice, str):
            return self._fallback(row, choice, wanted, checkpoints)
        reference = await self._cached.reference(row)
        if reference is None:
            return self._fallback(row, "it was changed just now: try again", wanted, checkpoints)
        if reason := obstacle(reference.transcript, choice.checkpoint):
            return self._fallback(row, reason, wanted, checkpoints)
        spoken_from = Reference(text=reference.transcript, codes=reference.codes.reshape(-1))
        return Speaker(name=row.voice_id, language=choice.language, reference=spoken_from)

    def _fallback(self, row: VoiceRow, reason: str, language: str | None, checkpoints: Checkpoints) -> Speaker:
        name = self._options.fallback
        if name is None or name not in resolve.presets(checkpoints):
            raise Unspeakable(
                f"voice_id: {shown(row.voice_id)}: cannot be spoken as itself: {reason}", param="voice_id"
            )
        return replace(_preset(resolve.choose_default(checkpoints, name, language)), fell_back=True)

    async def _row(self, name: str) -> VoiceRow | None:
        if row := (await self._cached.current()).rows.get(name):
            return row
        return (await self._cached.fresh()).rows.get(name)

    async def _refuse_own_names(self, voice_id: str, consequence: str) -> None:
        kind = "preset" if voice_id in resolve.presets(await self._last_loaded()) else None
        kind = "alias" if voice_id in self._aliases(self._cached.latest) else kind
        if kind:
            raise Conflict(f"voice_id: {shown(voice_id)}: names a{'n' * (kind == 'alias')} {kind}: {consequence}")

    async def _loaded(self) -> Checkpoints:
        try:
            self._checkpoints = await self._engine.checkpoints()
        except SpeechError as error:
            raise from_speech(error) from None
        return self._checkpoints

    async def _last_loaded(self) -> Checkpoints:
        """What was loaded when the speech server answered last: enough to list and to forbid."""
        try:
            return await self._loaded()
        except BridgeError:
            return self._checkpoints

    def _meant(self, voice_id: str) -> str | None:
        return resolve.meant(voice_id, self._aliases(self._cached.latest), self._options.default_voice)

    def _is_default(self, voice_id: str) -> bool:
        return DEFAULT in (voice_id, self._aliases(self._cached.latest).get(voice_id))

    def _aliases(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The setting decides about `default`, the table about every other name."""
        return {**self._options.aliases, **snapshot.aliases, DEFAULT: self._options.default_voice or DEFAULT}

    def _obstacle(self, row: VoiceRow, checkpoints: Checkpoints) -> str | None:
        choice = resolve.cloning_choice(checkpoints, row, None)
        return None if isinstance(choice, Choice) else choice

    def _entries(self, snapshot: Snapshot, checkpoints: Checkpoints) -> dict[str, ListedVoice]:
        """By id: what speaks comes from the alias or the preset, name and date from a row of the same id."""
        entries = {row.voice_id: self._stored_entry(row, checkpoints) for row in snapshot.rows.values()}
        for name, (language, checkpoint) in resolve.presets(checkpoints).items():
            details = {"language": language, "checkpoint": checkpoint, "speakable": True}
            entries[name] = _shadowing(entries, name, "preset", details)
        for alias in self._aliases(snapshot):
            entries[alias] = _shadowing(entries, alias, "alias", {"target": self._meant(alias)})
        return entries

    def _stored_entry(self, row: VoiceRow, checkpoints: Checkpoints) -> ListedVoice:
        reason = self._obstacle(row, checkpoints)
        details = {
            "language": row.language,
            "transcript": row.transcript,
            "transcript_origin": row.transcript_origin,
            "encoded": row.has_codes,
            "speakable": reason is None,
            "reason": reason,
        }
        return ListedVoice(
            voice_id=row.voice_id, name=row.name, created_at=row.created_at, kind="stored", details=details
        )


def _shadowing(entries: Mapping[str, ListedVoice], name: str, kind: str, details: dict[str, object]) -> ListedVoice:
    row = entries.get(name)
    return ListedVoice(
        voice_id=name,
        name=row.name if row else name,
        created_at=row.created_at if row else None,
        kind=kind,
        details=details,
    )


def _preset(choice: Choice) -> Speaker:
    return Speaker(name=choice.voice, language=choice.language)


def _is_storable(voice_id: str) -> bool:
    return 0 < len(voice_id) <= 255 and voice_id.isprintable() and "/" not in voice_id and voice_id == voice_id.strip()
