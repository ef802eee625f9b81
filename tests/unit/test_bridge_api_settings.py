"""Settings, the pages made from the code, and what is logged."""

import io
import json
import logging
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from orpheus_bridge import documents
from orpheus_bridge.__main__ import app
from orpheus_bridge.keys import hash_of
from orpheus_bridge.rooms.options import LiveKitOptions
from orpheus_bridge.settings import MASKED, WITHOUT_EFFECT, Settings, SettingsError, variables
from orpheus_bridge.telemetry import log
from orpheus_bridge.voices.options import DatabaseOptions, EmbeddedOptions

pytestmark = pytest.mark.unit

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)


def test_the_environment_of_the_old_service_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {
        "DB_HOST": "db.internal",
        "DB_PORT": "5433",
        "DB_NAME": "june",
        "DB_USER": "tts",
        "DB_PASSWORD": "hush",
        "LIVEKIT_URL": "wss://livekit.internal",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "hush too",
        "LIVEKIT_IDENTITY": "june-tts",
        "LIVEKIT_ROOM": "ozzu-main",
        "ORCHESTRATOR_URL": "http://orchestrator:8080",
    }
    for name, value in old.items():
        monkeypatch.setenv(name, value)
    settings = Settings.read()
    assert settings.database() == DatabaseOptions(
        host="db.internal", port=5433, name="june", user="tts", password=old["DB_PASSWORD"]
    )
    rooms = settings.livekit()
    assert (rooms.url, rooms.api_key, rooms.api_secret) == ("wss://livekit.internal", "key", "hush too")
    assert (rooms.identity, rooms.room) == ("june-tts", "ozzu-main")
    shown = {variable.name: variable for variable in variables(settings)}
    assert (shown["DB_PASSWORD"].value, shown["DB_PASSWORD"].origin) == (MASKED, "environment")
    assert shown["ORPHEUS_PORT"].origin == "default"
    assert "hush" not in str(shown)


def test_without_any_setting_it_is_at_home_and_on_loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("DB_HOST", "")
    settings = Settings.read()
    assert settings.database() == EmbeddedOptions(folder=tmp_path / "orpheus-triton" / "postgres")
    assert settings.is_loopback
    assert settings.may_be_open
    assert not settings.livekit().is_configured
    monkeypatch.setenv("ORPHEUS_HOME", str(tmp_path / "mine"))
    assert Settings.read().database() == EmbeddedOptions(folder=tmp_path / "mine" / "postgres")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("::1", True), ("127.1.2.3", True), ("192.0.2.1", False), ("x.org", False)],
)
def test_beyond_loopback_it_is_not_open(monkeypatch: pytest.MonkeyPatch, host: str, *, loopback: bool) -> None:
    monkeypatch.setenv("ORPHEUS_HOST", host)
    assert Settings.read().may_be_open == loopback
    monkeypatch.setenv("ORPHEUS_ALLOW_OPEN", "1")
    assert Settings.read().may_be_open


def test_how_many_rooms_are_joined_at_once_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.read().livekit().max_rooms == LiveKitOptions().max_rooms
    monkeypatch.setenv("ORPHEUS_MAX_ROOMS", "3")
    assert Settings.read().livekit().max_rooms == 3


def test_hashes_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = hash_of("a"), hash_of("b")
    monkeypatch.setenv("ORPHEUS_API_KEYS", f" {first},{second.upper()} ,")
    assert Settings.read().api_keys == (first, second)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ORPHEUS_API_KEYS", "orph_secretkey", "ORPHEUS_API_KEYS: not a list of hashes: make key and hash with"),
        ("ORPHEUS_PORT", "70000", "ORPHEUS_PORT: input should be less"),
        ("ORPHEUS_MAX_STREAMS", "0", "ORPHEUS_MAX_STREAMS: input should be greater"),
        ("ORPHEUS_ROOM_POLICY", "shout", "ORPHEUS_ROOM_POLICY: input should be 'queue', 'interrupt' or 'reject'"),
        ("LIVEKIT_API_KEY", "key", "LIVEKIT_API_SECRET: not set"),
        ("ORPHEUS_DRAIN_S", "nan", "ORPHEUS_DRAIN_S: input should be"),
        ("ORPHEUS_MAX_ROOMS", "0", "ORPHEUS_MAX_ROOMS: input should be greater"),
        ("ORPHEUS_MAX_ROOMS", "10001", "ORPHEUS_MAX_ROOMS: input should be less"),
        ("ORPHEUS_WARMUP_S", "-1", "ORPHEUS_WARMUP_S: input should be greater"),
        ("ORPHEUS_MODEL_LOAD_S", "inf", "ORPHEUS_MODEL_LOAD_S: input should be less"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        Settings.read()
    assert str(caught.value).startswith(message)
    assert "secretkey" not in str(caught.value)
    shown = CliRunner().invoke(app, ["settings"])
    assert shown.exit_code == 1
    assert shown.stderr.startswith(f"error: {message}")


def test_the_command_makes_a_key_and_its_hash() -> None:
    first, second = (CliRunner().invoke(app, ["key"]).stdout.split() for _ in range(2))
    assert first[0::2] == ["key", "hash"]
    assert hash_of(first[1]) == first[3]
    assert first[1] != second[1]


@pytest.mark.parametrize("name", documents.pages())
def test_the_pages_are_what_the_code_says(name: str) -> None:
    written = (DOCS / name).read_text()
    assert written == documents.pages()[name], f"{name} is old: `orpheus-bridge docs docs` writes it anew"


def test_the_pages_are_whole() -> None:
    page = documents.pages()["api.md"]
    for path in documents.openapi()["paths"]:
        assert f" {path}`" in page
    assert "| `speed` | number, 0.5 to 2.0 | `1.0` | At the same pitch. |" in page
    settings = documents.pages()["configuration.md"]
    for field in Settings.model_fields.values():
        assert f"`{field.alias}`" in settings
        assert field.description


def logged(monkeypatch: pytest.MonkeyPatch, *, with_pii: bool = False) -> io.StringIO:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    log.configure(with_pii=with_pii)
    return out


@pytest.fixture
def own_logging() -> object:
    """What `configure` changes is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("own_logging")
def test_events_are_json_without_pii(monkeypatch: pytest.MonkeyPatch) -> None:
    out = logged(monkeypatch)
    log.logger().info("speech_ended", characters=12, pii_text="my secret")
    log.logger().debug("quiet")
    (event,) = (json.loads(line) for line in out.getvalue().splitlines())
    assert (event["event"], event["level"], event["characters"]) == ("speech_ended", "info", 12)
    assert "pii_text" not in event
    assert event["timestamp"].endswith("Z")


@pytest.mark.usefixtures("own_logging")
def test_a_setting_without_effect_is_told_with_what_replaces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORPHEUS_CHUNK_SIZE", "210")
    monkeypatch.setenv("ORPHEUS_FADE_MS", "5")
    settings, out = Settings.read(), logged(monkeypatch)
    settings.report()
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    (told,) = (event for event in events if event["event"] == "settings_without_effect")
    assert told["level"] == "warning"
    assert told["instead"] == {name: WITHOUT_EFFECT[name] for name in ("ORPHEUS_CHUNK_SIZE", "ORPHEUS_FADE_MS")}


@pytest.mark.usefixtures("own_logging")
def test_pii_is_kept_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    out = logged(monkeypatch, with_pii=True)
    log.logger().info("heard", pii_text="hello")
    assert json.loads(out.getvalue())["pii_text"] == "hello"


@pytest.mark.usefixtures("own_logging")
def test_an_exception_is_told_by_its_kind_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    out = logged(monkeypatch)
    try:
        raise ValueError("my secret")
    except ValueError as error:
        log.logger().error("request_failed", exc_info=error)
        logging.getLogger("some.library").exception("it broke")
    ours, theirs = (json.loads(line) for line in out.getvalue().splitlines())
    assert ours["error"] == theirs["error"] == "ValueError"
    assert "test_an_exception_is_told" in ours["at"][-1]
    assert (theirs["event"], theirs["library"], theirs["message"]) == ("library_message", "some.library", "it broke")
    assert "secret" not in out.getvalue()
