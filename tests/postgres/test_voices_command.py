"""`orpheus-bridge voices transcribe` as a user runs it, beside a bridge that has the embedded server running."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from orpheus_bridge.voices.opened import opened_store
from orpheus_bridge.voices.options import EmbeddedOptions
from orpheus_bridge.voices.store import NewVoice

pytestmark = pytest.mark.postgres

BROKEN = NewVoice(voice_id="broken", name="Broken", wav=b"no audio")
GIVEN = NewVoice(voice_id="given", name="Given", wav=b"no audio", transcript="Words.", transcript_origin="caller")


async def transcribe(home: Path, *arguments: str) -> tuple[int | None, str]:
    """Exit status, and what it printed."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("DB_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orpheus_bridge", "voices", "transcribe", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**variables, "ORPHEUS_HOME": str(home)},
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, printed.decode()


async def test_beside_a_running_bridge_and_alone(tmp_path: Path) -> None:
    async with opened_store(EmbeddedOptions(folder=tmp_path / "postgres")) as (store, _):
        await store.add(BROKEN)
        await store.add(GIVEN)
        beside = await transcribe(tmp_path)
    alone = await transcribe(tmp_path)
    line = "broken: no transcript: file: is not WAV, FLAC, OGG, MP3 or M4A\n"
    assert beside == alone == (1, line)
    assert await transcribe(tmp_path, "given") == (0, "")
