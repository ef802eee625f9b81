"""The log of a server: one file per run, the newest kept."""

from pathlib import Path

from launcher.paths import Home

KEPT_LOGS = 10
TAIL_BYTES = 1 << 16
SHOWN_LINES = 15
SHOWN_LINE_CHARS = 240


def tail(path: Path, lines: int = SHOWN_LINES) -> list[str]:
    """The last lines that tell something: Triton's tables are left out."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = log.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    telling = [
        line[:SHOWN_LINE_CHARS] for line in text.splitlines() if line.strip() and not line.startswith(("|", "+"))
    ]
    return telling[-lines:]


def remove_old(home: Home, *, kind: str = "triton") -> None:
    """Keeps the newest logs; their names begin with the time."""
    for path in sorted(home.logs.glob(f"{kind}-*.log"))[:-KEPT_LOGS]:
        path.unlink(missing_ok=True)
