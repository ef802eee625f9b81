"""Who listens in a room, from what LiveKit tells."""

UNANNOUNCED_S = 4.0
"""LiveKit announces a participant that publishes nothing with up to 3 s delay; that somebody subscribed, it tells at
once."""


class Audience:
    """Participants that can hear us, and whether our track has reached one of them. Time is what the caller says."""

    def __init__(self) -> None:
        self._present: set[str] = set()
        self._subscribed_s: float | None = None

    @property
    def is_subscribed(self) -> bool:
        """Whether the track as it is published now was subscribed to."""
        return self._subscribed_s is not None

    def join(self, identity: str) -> None:
        """A participant that is no agent came."""
        self._present.add(identity)

    def leave(self, identity: str) -> None:
        """One went."""
        self._present.discard(identity)

    def clear(self) -> None:
        """We are out of the room."""
        self._present.clear()
        self._subscribed_s = None

    def publish(self) -> None:
        """The track was published anew: nobody has it yet."""
        self._subscribed_s = None

    def subscribe(self, now_s: float) -> None:
        """Somebody has the track; told once for each time that it is published."""
        self._subscribed_s = now_s

    def listeners(self, now_s: float) -> int:
        """How many are there."""
        if self._present:
            return len(self._present)
        return int(self._subscribed_s is not None and now_s - self._subscribed_s < UNANNOUNCED_S)
