"""Whether speech goes through the whole chain, proven by speech."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from orpheus_bridge.errors import BridgeError
from orpheus_bridge.speech import Engine
from orpheus_client import Busy as ServerBusy
from orpheus_client import SpeechError, SpeechOptions

PROOF_S = 10.0
"""Speech that was heard so long ago still proves something."""

PROBE_S = 5.0
"""A probe without any audio after this has failed."""

DOUBT_S = 1.0
"""A failed probe is not repeated before this."""

PROBE_TEXT = "Hello."

Proof = Literal["speech", "full", "probe"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it can speak, and how that is known."""

    ready: bool
    by: Proof


class Readiness:
    """Remembers who was heard, and asks only when nobody was."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._opened_s = self._now_s()
        self._warmup_s: float | None = None
        self._lock = asyncio.Lock()
        self._proof: Proof = "probe"
        self._proven_until_s = float("-inf")
        self._doubted_until_s = float("-inf")

    def heard(self) -> None:
        """Samples came from the server."""
        self._prove("speech")

    def full(self) -> None:
        """It refused because it is full, and so is alive."""
        self._prove("full")

    @property
    def warmup_s(self) -> float | None:
        """From when this was made until speech was heard for the first time, a probe's or anybody's; None: not yet."""
        return self._warmup_s

    async def verdict(self) -> Verdict:
        """Bounded by the probe's time; any number of askers make one probe."""
        async with self._lock:
            if self._now_s() >= max(self._proven_until_s, self._doubted_until_s):
                await self._probe()
            return Verdict(self._now_s() < self._proven_until_s, self._proof)

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(PROBE_S):
                await self._speak()
        except ServerBusy:
            self._prove("full")
        except (SpeechError, BridgeError, TimeoutError):
            self._proof = "probe"
            self._doubted_until_s = self._now_s() + DOUBT_S
        else:
            self._prove("probe")

    async def _speak(self) -> None:
        async with self._engine.speak(PROBE_TEXT, SpeechOptions(probe=True)) as stream:
            async for _ in stream:
                pass

    def _prove(self, proof: Proof) -> None:
        # Whoever is full is alive, but nobody has heard it yet.
        if self._warmup_s is None and proof != "full":
            self._warmup_s = self._now_s() - self._opened_s
        self._proof = proof
        self._proven_until_s = self._now_s() + PROOF_S

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()
