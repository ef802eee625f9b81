"""What the store holds, kept in memory: nobody who wants to hear a voice waits for the database."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from orpheus_bridge.errors import BridgeError, Unavailable
from orpheus_bridge.telemetry.log import logger
from orpheus_bridge.voices.options import VoiceOptions
from orpheus_bridge.voices.store import StoredReference, StoreState, VoiceRow, VoiceStore

ASK_S = 2.0
"""How long somebody who needs the newest list waits for it."""

JUST_NOW_S = 0.5
"""A list of this age is new enough for a voice that is not in it: whoever guesses ids does not reach the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The store at one moment."""

    rows: Mapping[str, VoiceRow]
    """By voice id, in the order of their names."""
    aliases: Mapping[str, str]
    state: StoreState
    taken_s: float
    """On the loop's clock."""


NOTHING_KNOWN = Snapshot(
    rows={}, aliases={}, state=StoreState(connected=False, has_own_tables=False), taken_s=float("-inf")
)


class CachedVoices:
    """A store's voices: read anew every `refresh_s`, used for `stale_s` while the database is away.

    Codes are kept by (voice, revision), all of them read ahead; when `max_references` are kept, the one that was used
    least recently goes.
    """

    def __init__(self, store: VoiceStore, options: VoiceOptions) -> None:
        self._store = store
        self._options = options
        self._latest = NOTHING_KNOWN
        self._reading = asyncio.Lock()
        self._begun = 0
        self._finished = 0
        """Readings are numbered from 1 on: the latest that began, and the latest that succeeded."""
        self._references: OrderedDict[tuple[str, str], StoredReference] = OrderedDict()
        self._read_once = asyncio.Event()
        self._refresher: asyncio.Task[None] | None = None

    @property
    def latest(self) -> Snapshot:
        """What was read last, however old."""
        return self._latest

    @property
    def connected(self) -> bool:
        """Whether the latest attempt to read succeeded."""
        return self._latest.state.connected and self._age_s() <= 3 * self._options.refresh_s

    async def start(self) -> None:
        """Reads everything, or waits `ASK_S` for it at most; then again and again in the background."""
        self._refresher = asyncio.create_task(self._refresh_for_ever())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._read_once.wait(), ASK_S)

    async def close(self) -> None:
        """Ends that."""
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.gather(self._refresher, return_exceptions=True)
            self._refresher = None

    async def current(self) -> Snapshot:
        """At once what is known, unless it is too old.

        Raises:
            errors.Unavailable: it is, and the database is away.
        """
        return self._latest if self._age_s() <= self._options.stale_s else await self.fresh()

    async def fresh(self) -> Snapshot:
        """The newest that can be had soon; what is known when the database is away or slow.

        Raises:
            errors.Unavailable: that is too old.
        """
        if self._age_s() > JUST_NOW_S:
            try:
                async with asyncio.timeout(ASK_S):
                    await self.refresh()
            except (TimeoutError, BridgeError):
                if self._age_s() > self._options.stale_s:
                    raise Unavailable("the stored voices are not known: the database does not answer") from None
        return self._latest

    async def refresh(self) -> None:
        """Reads the list anew, once for all who ask before the reading begins.

        Raises:
            errors.BridgeError: it cannot be read.
        """
        begun_before = self._begun
        async with self._reading:
            if self._finished > begun_before:
                return
            self._begun += 1
            taken_s = asyncio.get_running_loop().time()
            rows = {row.voice_id: row for row in await self._store.rows()}
            aliases = await self._store.aliases()
            state = await self._store.state()
            self._latest = Snapshot(rows=rows, aliases=aliases, state=state, taken_s=taken_s)
            self._finished = self._begun
        known = {(row.voice_id, row.revision) for row in rows.values()}
        # What was deleted must not be kept, in memory neither.
        for key in self._references.keys() - known:
            del self._references[key]

    async def changed(self) -> None:
        """After a change of our own: whoever asks next sees it."""
        try:
            await self.refresh()
        except BridgeError:
            logger().warning("voices_not_read_after_change")

    async def reference(self, row: VoiceRow) -> StoredReference | None:
        """What this revision of a voice is spoken from; None if it is gone or incomplete.

        Raises:
            errors.Unavailable: it was not kept, and the database is away.
        """
        key = (row.voice_id, row.revision)
        if key in self._references:
            self._references.move_to_end(key)
            return self._references[key]
        found = await self._store.reference(row.voice_id)
        if found is not None:
            self._references[(row.voice_id, found.revision)] = found
            while len(self._references) > self._options.max_references:
                self._references.popitem(last=False)
        return found

    async def _refresh_for_ever(self) -> None:
        while True:
            try:
                await self.refresh()
                await self._read_ahead()
            except BridgeError as error:
                logger().warning("voices_not_read", error=error.code)
            except Exception:
                # This task must outlive every fault of a single round.
                logger().exception("voices_not_read")
            self._read_once.set()
            await asyncio.sleep(self._options.refresh_s)

    async def _read_ahead(self) -> None:
        complete = [row for row in self._latest.rows.values() if row.has_codes and row.transcript is not None]
        for row in complete[: self._options.max_references]:
            if (row.voice_id, row.revision) not in self._references:
                await self.reference(row)

    def _age_s(self) -> float:
        return asyncio.get_running_loop().time() - self._latest.taken_s
