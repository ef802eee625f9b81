"""One utterance on its way into a room."""

import asyncio

from orpheus_bridge.errors import Unavailable
from orpheus_bridge.rooms.link import Link
from orpheus_bridge.rooms.read_ahead import ReadAhead
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm
from orpheus_core.silence import first_audible_sample

FIRST_FRAME_SAMPLES = SAMPLE_RATE_HZ // 50
"""20 ms: what is heard first is not held up by what follows."""

FRAME_SAMPLES = SAMPLE_RATE_HZ // 20
"""50 ms: each frame costs a round trip into the SDK, and an interruption waits for one at most."""

SAMPLES_PER_MS = SAMPLE_RATE_HZ / 1000


class Playout:
    """Puts samples into a link as fast as it takes them, and knows how far it came."""

    def __init__(self, link: Link, *, stall_s: float) -> None:
        self._link = link
        self._stall_s = stall_s
        self._pushed_samples = 0
        self._stopped_ms: float | None = None
        self.is_complete = False
        """Whether everything was handed over."""
        self.first_audible_s: float | None = None
        """Time of the event loop at which the first audible sample was handed over."""

    @property
    def sent_ms(self) -> float:
        """Speech that was handed over."""
        return self._pushed_samples / SAMPLES_PER_MS

    @property
    def played_ms(self) -> float:
        """Speech that has left the queue; after `stop`, as it was then."""
        if self._stopped_ms is not None:
            return self._stopped_ms
        # What is queued may begin with the end of the utterance before.
        return max(0.0, self.sent_ms - self._link.queued_ms)

    async def run(self, speech: ReadAhead) -> None:
        """To the end of `speech`: until its last frame was accepted.

        Raises:
            errors.BridgeError: the speech failed, or the room takes nothing.
            RoomClosed: the room is gone.
        """
        most_samples = FIRST_FRAME_SAMPLES
        while len(samples := await speech.take(most_samples)):
            await self._link.ready()
            await self._push(samples)
            most_samples = FRAME_SAMPLES
        self.is_complete = True

    def stop(self) -> None:
        """Notes how much was played and silences the room; `run` has to be cancelled by whoever awaits it."""
        if self._stopped_ms is None:
            self._stopped_ms = self.played_ms
            self._link.clear()

    async def _push(self, samples: Pcm) -> None:
        if self.first_audible_s is None and first_audible_sample(samples) is not None:
            self.first_audible_s = asyncio.get_running_loop().time()
        self._pushed_samples += len(samples)
        try:
            async with asyncio.timeout(self._stall_s):
                await self._link.capture(samples)
        except TimeoutError:
            raise Unavailable(f"the room took no audio for {self._stall_s:g} s") from None
