"""How the bridge meets LiveKit."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomLimits:
    """Bounds of one room; no wait in this package is without one."""

    longest_s: float = 100.0
    """Waiting and speaking together; the caller reads for 120 s."""
    max_waiting: int = 32
    """Requests in one room's line, the one that speaks included."""
    listener_wait_s: float = 5.0
    """How long a request waits for somebody to listen."""
    deserted_s: float = 5.0
    """A room without listeners for this long ends its speech."""
    stall_s: float = 10.0
    """A room that takes no audio for this long ends its speech."""
    buffered_s: float = 120.0
    """Speech that may be ahead of the room: more than one request can be, so that its stream is read to its end."""
    join_timeout_s: float = 10.0
    rejoin_timeout_s: float = 20.0
    """How long speech pauses for a lost connection to come back."""
    leave_timeout_s: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveKitOptions:
    """Where LiveKit is, who we are there, and for how long we stay.

    Raises:
        ValueError: a key without its secret, or a key without an address.
    """

    url: str | None = None
    """`LIVEKIT_URL`, such as `wss://livekit.example.com`."""
    api_key: str | None = None
    """`LIVEKIT_API_KEY`."""
    api_secret: str | None = field(default=None, repr=False)
    """`LIVEKIT_API_SECRET`."""
    orchestrator_url: str | None = None
    """`ORCHESTRATOR_URL`: asked for tokens when no key is given."""
    identity: str | None = None
    """`LIVEKIT_IDENTITY`: exactly this; without it `orpheus-` and a random suffix."""
    room: str | None = None
    """`LIVEKIT_ROOM`: joined at the start and kept."""
    idle_timeout_s: float = 300.0
    """A room that was not spoken into for this long is left, unless it is `room`."""
    max_rooms: int = 200
    """Rooms joined at once; one more replaces the one idle longest, or is refused."""
    limits: RoomLimits = field(default_factory=RoomLimits)

    def __post_init__(self) -> None:
        if bool(self.api_key) != bool(self.api_secret):
            missing = "LIVEKIT_API_SECRET" if self.api_key else "LIVEKIT_API_KEY"
            raise ValueError(f"{missing}: not set: set key and secret, or neither")
        if self.api_key and not self.url:
            raise ValueError("LIVEKIT_URL: not set: set it beside LIVEKIT_API_KEY")

    @property
    def is_configured(self) -> bool:
        """Whether there is a way to get into a room."""
        return bool(self.api_key or self.orchestrator_url)
