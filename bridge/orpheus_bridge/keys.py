"""Access keys: random, shown once, kept as hashes."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable

from orpheus_bridge.errors import Unauthorized, Unavailable

KEY_PREFIX = "orph_"
KEY_BYTES = 32

KEEP_S = 10.0
"""A key that was revoked in the table holds no longer than this."""

STALE_S = 300.0
"""While the database is away the keys that were known hold on for so long."""

Hashes = tuple[str, ...]


def new_key() -> str:
    """256 random bits: nothing that guessing or a slow hash would have to be set against."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


def hash_of(key: str) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


class KeyRing:
    """Who may come in.

    Args:
        configured: hashes that always hold.
        table: asks for those of the table, and raises `Unavailable`; None: there is no table.
        may_be_open: without any key anyone may come in.
    """

    def __init__(
        self, configured: Hashes, table: Callable[[], Awaitable[Hashes]] | None = None, *, may_be_open: bool
    ) -> None:
        self._configured = configured
        self._table = table
        self._may_be_open = may_be_open
        self._lock = asyncio.Lock()
        self._kept: Hashes | None = None
        self._read_at = 0.0

    async def check(self, key: str | None) -> None:
        """
        Raises:
            Unauthorized: no key, or none that holds.
            Unavailable: the table cannot be read, so nobody knows.
        """
        if key is not None and _among(key, self._configured):
            return
        hashes = (*self._configured, *await self._hashes())
        if not hashes and self._may_be_open:
            return
        if key is None:
            raise Unauthorized("Authorization: missing: send `Bearer` and an access key")
        if not _among(key, hashes):
            raise Unauthorized("Authorization: not a key that holds: make one with `orpheus-bridge key`")

    async def _hashes(self) -> Hashes:
        if self._table is None:
            return ()
        async with self._lock:
            now_s = asyncio.get_running_loop().time()
            if self._kept is None or now_s >= self._read_at + KEEP_S:
                self._kept = await self._read(self._table, now_s)
            return self._kept

    async def _read(self, table: Callable[[], Awaitable[Hashes]], now_s: float) -> Hashes:
        try:
            hashes = await table()
        except Unavailable:
            if self._kept is None or now_s >= self._read_at + STALE_S:
                # Configured keys go on to hold; without any it must not look as if there were none at all.
                if self._configured:
                    return ()
                raise
            return self._kept
        self._read_at = now_s
        return hashes


def _among(key: str, hashes: Hashes) -> bool:
    """In constant time for every hash, and never ending at the first that fits."""
    wanted = hash_of(key)
    return sum(hmac.compare_digest(wanted, known) for known in hashes) > 0
