"""A bridge as its users start it: a process with its settings in the environment."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from launcher.ports import Ports
from orpheus_bridge.settings import Settings

START_S = 90.0
STOP_S = 30.0


@dataclass(kw_only=True)
class BridgeProcess:
    """Entered it is ready to be asked; left it is gone."""

    triton_url: str
    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: Ports.free().http)
    events: list[dict[str, Any]] = field(default_factory=list)
    """What it logged."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "orpheus_bridge"], env=self._environment(), stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self._wait_up()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)
            raise
        finally:
            self._reader.join(STOP_S)
            if self._process.stdout is not None:
                self._process.stdout.close()

    def ended(self) -> int:
        """Its exit status, once it is told to end and has done so."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_S)

    def kill(self) -> None:
        """Ends it as a machine that fails does."""
        self._process.kill()
        self._process.wait(STOP_S)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The events of a name."""
        return [logged for logged in self.events if logged["event"] == event]

    def _environment(self) -> dict[str, str]:
        known = {str(option.alias) for option in Settings.model_fields.values()}
        bare = {name: value for name, value in os.environ.items() if name not in known}
        own = {
            "ORPHEUS_PORT": str(self.port),
            "ORPHEUS_URL": self.triton_url,
            "ORPHEUS_HOME": str(self.home),
            "PYTHONUNBUFFERED": "1",
        }
        return {**bare, **own, **self.settings}

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.events.append(json.loads(line))

    def _wait_up(self) -> None:
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s:
            assert self._process.poll() is None, self.events[-3:]
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"{self.url}/health/live", timeout=5).close()
                return
            time.sleep(0.1)
        raise AssertionError(f"the bridge did not come up within {START_S:g} s: {self.events[-3:]}")
