"""The store in memory, in virtual time: how old it may be, what is kept, what is let go."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
import pytest

from orpheus_bridge.errors import Unavailable
from orpheus_bridge.voices.cache import CachedVoices
from orpheus_bridge.voices.fake import FakeStore
from orpheus_bridge.voices.options import VoiceOptions
from orpheus_bridge.voices.store import NewVoice
from unit.client_virtual_time import run

pytestmark = pytest.mark.unit

CODES = np.zeros((1, 7), np.uint16)
AWAY = Unavailable("the database does not answer")


def voice(name: str) -> NewVoice:
    return NewVoice(voice_id=name, name=name, wav=b"w", transcript="t", transcript_origin="caller", codes=CODES)


def with_cache(work: Callable[[FakeStore, CachedVoices], Awaitable[None]], options: VoiceOptions | None = None) -> None:
    """Runs `work` beside a cache of the voices a, b and c."""

    async def main() -> None:
        store = FakeStore(voice("a"), voice("b"), voice("c"))
        cached = CachedVoices(store, options or VoiceOptions(refresh_s=5, stale_s=60))
        await cached.start()
        await work(store, cached)
        await cached.close()

    run(main())


def test_everything_is_read_at_the_start_and_then_nothing_is_asked() -> None:
    async def work(store: FakeStore, cached: CachedVoices) -> None:
        assert store.calls.count("reference") == 3
        store.calls.clear()
        for row in (await cached.current()).rows.values():
            assert await cached.reference(row) is not None
        assert not store.calls

    with_cache(work)


def test_what_others_write_is_seen_within_the_interval() -> None:
    async def work(store: FakeStore, cached: CachedVoices) -> None:
        await store.add(voice("d"))
        await store.delete("a")
        await asyncio.sleep(5.1)
        assert list((await cached.current()).rows) == ["b", "c", "d"]
        assert {key[0] for key in cached._references} == {"b", "c", "d"}, "what was deleted is not kept"

    with_cache(work)


def test_another_revision_is_another_reference() -> None:
    async def work(store: FakeStore, cached: CachedVoices) -> None:
        before = cached.latest.rows["a"]
        await store.set_codes("a", CODES + 7, recording=b"w")
        await cached.changed()
        reference = await cached.reference(cached.latest.rows["a"])
        assert reference is not None
        assert reference.codes[0, 0] == 7
        assert (before.voice_id, before.revision) not in cached._references

    with_cache(work)


def test_a_database_that_is_away_is_bridged_for_a_time() -> None:
    async def work(store: FakeStore, cached: CachedVoices) -> None:
        assert cached.connected
        store.error = AWAY
        await asyncio.sleep(55)
        snapshot = await cached.current()
        assert list(snapshot.rows) == ["a", "b", "c"]
        assert (await cached.fresh()) is snapshot
        assert await cached.reference(snapshot.rows["a"]) is not None
        assert not cached.connected
        await asyncio.sleep(6)
        for ask in (cached.current, cached.fresh):
            with pytest.raises(Unavailable, match="the stored voices are not known"):
                await ask()
        store.error = None
        await asyncio.sleep(5.1)
        assert list((await cached.current()).rows) == ["a", "b", "c"]
        assert cached.connected

    with_cache(work)


def test_nobody_waits_long_for_a_slow_database() -> None:
    async def work(store: FakeStore, cached: CachedVoices) -> None:
        store.delay_s = 30
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        assert list((await cached.fresh()).rows) == ["a", "b", "c"]
        assert loop.time() - started_s <= 2.0

    with_cache(work)


def test_whoever_guesses_ids_does_not_reach_the_database() -> None:
    async def work(store: FakeStore, cached: CachedVoices) -> None:
        store.calls.clear()
        for _ in range(1000):
            await cached.fresh()
        assert store.calls.count("rows") == 0
        await asyncio.sleep(0.6)
        await asyncio.gather(*(cached.fresh() for _ in range(1000)))
        assert store.calls.count("rows") <= 2, "one that had begun, one for all others"

    with_cache(work)


def test_a_full_cache_lets_the_least_recently_used_go() -> None:
    async def work(store: FakeStore, cached: CachedVoices) -> None:
        rows = cached.latest.rows
        assert {key[0] for key in cached._references} == {"a", "b"}
        await cached.reference(rows["a"])
        await cached.reference(rows["c"])
        assert {key[0] for key in cached._references} == {"a", "c"}

    with_cache(work, VoiceOptions(max_references=2, refresh_s=1000))


def test_a_start_does_not_wait_for_ever() -> None:
    async def main() -> None:
        store = FakeStore()
        store.delay_s = 1000
        cached = CachedVoices(store, VoiceOptions())
        await cached.start()
        assert asyncio.get_running_loop().time() <= 2.0
        await cached.close()

    run(main())


def test_a_voice_without_transcript_has_no_reference() -> None:
    async def work(store: FakeStore, cached: CachedVoices) -> None:
        await store.add(replace(voice("d"), transcript=None, transcript_origin=None))
        await cached.changed()
        assert await cached.reference(cached.latest.rows["d"]) is None

    with_cache(work)
