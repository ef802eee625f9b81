"""The bridge's settings: every environment variable with its name, default and meaning, in one place."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from orpheus_bridge.api.services import ApiOptions
from orpheus_bridge.rooms.options import LiveKitOptions
from orpheus_bridge.rooms.sink import Policy
from orpheus_bridge.telemetry.log import LogFormat, logger
from orpheus_bridge.voices.options import (
    DatabaseOptions,
    EmbeddedOptions,
    EncoderOptions,
    TranscriberOptions,
    UploadOptions,
    VoiceOptions,
)

WITHOUT_EFFECT: Mapping[str, str] = {
    "ORPHEUS_CHUNK_SIZE": "the schedule sends the first chunk as soon as it can be heard, later ones larger",
    "ORPHEUS_FADE_MS": "chunks are exact and join without a fade",
    "MAX_WORKERS": "ORPHEUS_MAX_STREAMS",
}
"""Variables of the older service, and what stands in their place."""

MASKED = "(set)"
_HASH = re.compile(r"[0-9a-f]{64}")

Seconds = Annotated[float, Field(gt=0, le=3600)]
Count = Annotated[int, Field(ge=1, le=100_000)]


class SettingsError(Exception):
    """`NAME: value: fix`, ready to be shown."""


class Settings(BaseSettings):
    """Environment beats default; an empty variable counts as none."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, use_attribute_docstrings=True, case_sensitive=True
    )

    host: str = Field("127.0.0.1", alias="ORPHEUS_HOST")
    """Where the bridge listens. Beyond loopback an access key is required."""
    port: int = Field(8000, alias="ORPHEUS_PORT", ge=0, le=65535)
    """Its port; 0 takes a free one."""
    triton_url: str = Field("127.0.0.1:8001", alias="ORPHEUS_URL")
    """Triton's gRPC, or the proxy before several."""
    triton_metrics_url: str | None = Field("http://127.0.0.1:8002/metrics", alias="ORPHEUS_TRITON_METRICS_URL")
    """Triton's metrics, for the GPU's figures in `/health`."""
    model_load_s: float | None = Field(None, alias="ORPHEUS_MODEL_LOAD_S", ge=0, le=86_400)
    """Seconds from Triton's start until it was ready, for `/metrics`; whoever starts both measures and sets it."""
    warmup_s: float | None = Field(None, alias="ORPHEUS_WARMUP_S", ge=0, le=86_400)
    """Seconds that the first sentence took, likewise; unset: the bridge's own from its start to the first speech."""
    api_keys: Annotated[tuple[str, ...], NoDecode] = Field((), alias="ORPHEUS_API_KEYS")
    """Hashes of access keys, separated by commas; `orpheus-bridge key` makes a key and its hash."""
    allow_open: bool = Field(False, alias="ORPHEUS_ALLOW_OPEN")
    """Without any key, let everybody in beyond loopback too."""
    max_streams: Count = Field(64, alias="ORPHEUS_MAX_STREAMS")
    """Speeches at once; no more than Triton is rated for, which `scripts/run` tells unless this is set."""
    max_queued: int = Field(32, alias="ORPHEUS_MAX_QUEUED", ge=0, le=100_000)
    """Speeches that wait for one of these; beyond it requests get 429 at once."""
    queue_wait_s: Seconds = Field(2.0, alias="ORPHEUS_QUEUE_WAIT_S")
    """How long they wait at most."""
    drain_s: Seconds = Field(25.0, alias="ORPHEUS_DRAIN_S")
    """After SIGTERM: how long running speech may take to end."""
    max_text_chars: Count = Field(1000, alias="ORPHEUS_MAX_TEXT_CHARS")
    """Characters that `/api/tts/synthesize` takes."""
    max_input_chars: Count = Field(4096, alias="ORPHEUS_MAX_INPUT_CHARS")
    """Characters that `/v1/audio/speech` takes."""
    max_upload_bytes: int = Field(10 * 1024 * 1024, alias="ORPHEUS_MAX_UPLOAD_BYTES", ge=1024, le=2**30)
    """Bytes of a recording."""
    openai_aliases: bool = Field(True, alias="ORPHEUS_OPENAI_ALIASES")
    """OpenAI's names of models and voices are understood."""
    room_policy: Policy = Field("queue", alias="ORPHEUS_ROOM_POLICY")
    """What happens to a request whose room speaks already: `queue`, `interrupt` or `reject`."""
    room_idle_s: Seconds = Field(300.0, alias="ORPHEUS_ROOM_IDLE_S")
    """A room that was not spoken into for so long is left."""
    max_rooms: int = Field(200, alias="ORPHEUS_MAX_ROOMS", ge=1, le=10_000)
    """Rooms joined at once; one more replaces the one idle longest, or gets 429 if none is idle."""
    default_voice: str | None = Field(None, alias="ORPHEUS_DEFAULT_VOICE")
    """What the voice `default` means; unset: the checkpoint's own default."""
    voice_fallback: str | None = Field(None, alias="VOICE_FALLBACK")
    """A preset that speaks for a stored voice that cannot be spoken as itself; unset: that is an error."""
    home: Path | None = Field(None, alias="ORPHEUS_HOME")
    """Folder for what is kept; unset: `$XDG_DATA_HOME/orpheus-triton` or `~/.local/share/orpheus-triton`."""
    xdg_data_home: Path | None = Field(None, alias="XDG_DATA_HOME")
    """The user's data folder."""
    transcriber: str | None = Field(None, alias="ORPHEUS_TRANSCRIBER")
    """A recogniser that proposes transcripts: a folder, a package that holds one, or a name of faster-whisper."""
    transcribe_uploads: bool = Field(False, alias="ORPHEUS_TRANSCRIBE_UPLOADS")
    """Propose one for each upload that has none."""
    log_level: str = Field("info", alias="ORPHEUS_LOG_LEVEL", pattern="^(debug|info|warning|error)$")
    """`debug`, `info`, `warning` or `error`."""
    log_format: LogFormat = Field("json", alias="ORPHEUS_LOG_FORMAT")
    """`json` or `console`."""
    log_pii: bool = Field(False, alias="ORPHEUS_LOG_PII")
    """Keep fields that may say who spoke or what."""
    db_host: str | None = Field(None, alias="DB_HOST")
    """A PostgreSQL server; unset: one of our own on a unix socket, under `ORPHEUS_HOME`."""
    db_port: int = Field(5432, alias="DB_PORT", ge=1, le=65535)
    """Its port."""
    db_name: str = Field("orpheus", alias="DB_NAME")
    """The database."""
    db_user: str = Field("orpheus", alias="DB_USER")
    """The role."""
    db_password: SecretStr | None = Field(None, alias="DB_PASSWORD")
    """Its password."""
    db_statement_cache: int = Field(100, alias="DB_STATEMENT_CACHE_SIZE", ge=0, le=10_000)
    """0 behind PgBouncer in transaction mode."""
    livekit_url: str | None = Field(None, alias="LIVEKIT_URL")
    """LiveKit, such as `wss://livekit.example.com`."""
    livekit_api_key: str | None = Field(None, alias="LIVEKIT_API_KEY")
    """To sign our own room tokens."""
    livekit_api_secret: SecretStr | None = Field(None, alias="LIVEKIT_API_SECRET")
    """Belongs to the key."""
    livekit_identity: str | None = Field(None, alias="LIVEKIT_IDENTITY")
    """Exactly this participant in every room; unset: `orpheus-` and a random suffix."""
    livekit_room: str | None = Field(None, alias="LIVEKIT_ROOM")
    """Joined at the start and kept."""
    orchestrator_url: str | None = Field(None, alias="ORCHESTRATOR_URL")
    """Asked for room tokens when no key is given."""

    @classmethod
    def read(cls) -> Self:
        """
        Raises:
            SettingsError: the first variable that cannot be.
        """
        try:
            return cls()  # type: ignore[call-arg]  # the environment gives them
        except ValidationError as error:
            problem = error.errors()[0]
            message = str(problem["msg"]).removeprefix("Value error, ")
            if problem["loc"]:
                message = f"{problem['loc'][0]}: {message[:1].lower()}{message[1:]}"
            raise SettingsError(message) from None

    @field_validator("api_keys", mode="before")
    @classmethod
    def _hashes(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        hashes = tuple(part.strip().lower() for part in given.split(",") if part.strip())
        if not all(_HASH.fullmatch(part) for part in hashes):
            raise ValueError("not a list of hashes: make key and hash with `orpheus-bridge key`")
        return hashes

    @model_validator(mode="after")
    def _livekit_fits(self) -> Self:
        self.livekit()
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the bridge."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def may_be_open(self) -> bool:
        """Whether anyone may come in while there is no key."""
        return self.allow_open or self.is_loopback

    def report(self) -> None:
        """Logs every variable with its origin, secrets masked, and what of the older service has no effect."""
        for variable in variables(self):
            logger().info("setting", name=variable.name, value=variable.value, origin=variable.origin)
        unused = {name: instead for name, instead in WITHOUT_EFFECT.items() if os.environ.get(name)}
        if unused:
            logger().warning("settings_without_effect", instead=unused)

    def api(self) -> ApiOptions:
        """What the routes allow."""
        return ApiOptions(
            max_text_chars=self.max_text_chars,
            max_input_chars=self.max_input_chars,
            max_upload_bytes=self.max_upload_bytes,
            openai_aliases=self.openai_aliases,
            room_policy=self.room_policy,
        )

    def database(self) -> DatabaseOptions | EmbeddedOptions:
        """The server that is named, or one of our own."""
        if self.db_host is None:
            return EmbeddedOptions(folder=self._home() / "postgres")
        return DatabaseOptions(
            host=self.db_host,
            port=self.db_port,
            name=self.db_name,
            user=self.db_user,
            password=_secret(self.db_password),
            statement_cache_size=self.db_statement_cache,
        )

    def voices(self) -> VoiceOptions:
        """Who speaks when."""
        return VoiceOptions(default_voice=self.default_voice, fallback=self.voice_fallback)

    def uploads(self) -> UploadOptions:
        """What a recording may be."""
        return UploadOptions(max_bytes=self.max_upload_bytes)

    def encoder(self) -> EncoderOptions:
        """What makes codes of a recording."""
        return EncoderOptions(url=self.triton_url)

    def transcribing(self) -> TranscriberOptions | None:
        """What proposes transcripts."""
        if self.transcriber is None:
            return None
        return TranscriberOptions(model=self.transcriber, on_upload=self.transcribe_uploads)

    def livekit(self) -> LiveKitOptions:
        """How rooms are entered."""
        return LiveKitOptions(
            url=self.livekit_url,
            api_key=self.livekit_api_key,
            api_secret=_secret(self.livekit_api_secret),
            orchestrator_url=self.orchestrator_url,
            identity=self.livekit_identity,
            room=self.livekit_room,
            idle_timeout_s=self.room_idle_s,
            max_rooms=self.max_rooms,
        )

    def _home(self) -> Path:
        if self.home is not None:
            return self.home.expanduser().resolve()
        return (self.xdg_data_home or Path.home() / ".local" / "share") / "orpheus-triton"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One line of the start's report and of the documentation."""

    name: str
    value: str
    origin: str
    """`environment` or `default`."""
    meaning: str


def documented(kind: type[Settings]) -> tuple[Variable, ...]:
    """Every variable with its default."""
    return tuple(
        Variable(name=str(field.alias), value=_shown(field.default), origin="default", meaning=str(field.description))
        for field in kind.model_fields.values()
    )


def variables(settings: Settings) -> tuple[Variable, ...]:
    """Every variable with its value and where that came from; secrets are masked."""
    return tuple(
        Variable(
            name=str(field.alias),
            value=_shown(getattr(settings, attribute)),
            origin="environment" if attribute in settings.model_fields_set else "default",
            meaning=str(field.description),
        )
        for attribute, field in type(settings).model_fields.items()
    )


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return MASKED
    if isinstance(value, tuple):
        return f"{len(value)} {MASKED}" if value else ""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
