"""What the voices are told: where the database is, what an upload may be, who recognises speech."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """A PostgreSQL server and how long anything there may take."""

    host: str
    """A name, an address, or the folder of a unix socket, which begins with `/`."""
    port: int = 5432
    name: str = "orpheus"
    user: str = "orpheus"
    password: str | None = field(default=None, repr=False)
    pool_max: int = 8
    """Connections at most; they are made when they are needed."""
    acquire_s: float = 0.9
    """Wait for a free connection; beyond it the request is refused."""
    connect_s: float = 3.0
    command_s: float = 5.0
    """Bound of one statement."""
    migrate_s: float = 30.0
    """Bound of bringing the tables up to date, waiting for another process that does so included."""
    retry_s: float = 1.0
    """Pause after a failed attempt to connect, in which every request is refused at once."""
    statement_cache_size: int = 100
    """0 behind PgBouncer in transaction mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedOptions:
    """The PostgreSQL that comes in a wheel."""

    folder: Path
    """Holds the data; made if missing."""
    start_s: float = 30.0
    stop_s: float = 10.0
    """Time to finish before it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceOptions:
    """Who speaks when, and how old an answer about it may be."""

    default_voice: str | None = None
    """What `default` means: a preset or a stored voice; None: the checkpoint's own default."""
    fallback: str | None = None
    """A preset that speaks for a stored voice that cannot be spoken as itself; None: that is an error."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Further names; those in the database come first."""
    refresh_s: float = 5.0
    """How often the list of stored voices is read anew."""
    stale_s: float = 600.0
    """How long it is used while the database is away."""
    max_references: int = 2000
    """Voices whose codes are kept in memory, 5 KB each; beyond it the least recently used goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions:
    """What a recording may be and what looking at it may cost."""

    max_bytes: int = 10 * 1024 * 1024
    max_source_s: float = 300.0
    """Decoded length that is refused; what is kept of a shorter one is `orpheus_bridge.voices.recording.KEPT_S`."""
    max_source_samples: int = 300 * 48_000 * 2
    """The same in samples of all channels: a forged sample rate makes the length small."""
    min_s: float = 1.0
    min_audible_s: float = 0.5
    wall_s: float = 10.0
    cpu_s: int = 8
    memory_bytes: int = 1024**3
    processes: int = 2
    """Recordings decoded at once."""
    waiting: int = 8
    """Further ones that wait; beyond it an upload is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOptions:
    """The Triton model that turns a recording into codes."""

    url: str
    """`host:port` of Triton's gRPC."""
    model: str = "snac_encoder"
    timeout_s: float = 8.0
    fill_s: float = 30.0
    """How often voices without codes are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriberOptions:
    """The local recogniser that proposes transcripts."""

    model: str
    """A folder in CTranslate2's format, a wheel's package that holds one, or a name that faster-whisper knows."""
    on_upload: bool = False
    """Whether an upload without a transcript gets one at once."""
    wall_s: float = 12.0
    cpu_s: int = 120
    memory_bytes: int = 6 * 1024**3
    threads: int = 2
