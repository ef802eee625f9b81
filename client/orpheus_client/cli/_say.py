"""`orpheus say`: text of any length to a file, to stdout or to the loudspeaker."""

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from orpheus_client._client import SpeechClient
from orpheus_client._long import PAUSE_MS
from orpheus_client._options import SpeechOptions
from orpheus_client._results import SpeechResult
from orpheus_client._stream import SpeechStream
from orpheus_client.cli._exits import run
from orpheus_client.cli._parameters import (
    DEFAULT_URL,
    Json,
    Language,
    MaxSeconds,
    RepetitionPenalty,
    Temperature,
    TopP,
    Url,
    Voice,
    notes,
    print_json,
)
from orpheus_client.cli._sinks import STDOUT, Take, sink


def say(
    *,
    text: Annotated[str | None, typer.Argument(help="What to say; - reads it from stdin.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the text from a UTF-8 file.")] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="A WAV file, or - for raw samples (24 kHz mono s16le); else the loudspeaker."),
    ] = None,
    voice: Voice = None,
    language: Language = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    repetition_penalty: RepetitionPenalty = None,
    seed: Annotated[int | None, typer.Option(help="The same audio again on an idle server.")] = None,
    max_seconds: MaxSeconds = None,
    pause_ms: Annotated[float, typer.Option(min=0, help="Silence between the pieces of long text.")] = PAUSE_MS,
    trim_silence: Annotated[bool, typer.Option(help="Leave out the quiet opening.")] = True,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Speak text of any length."""
    if as_json and out == STDOUT:
        raise typer.BadParameter("--json and -o - both want stdout: write a file, or leave one out")
    options = SpeechOptions(
        voice=voice,
        language=language,
        temperature=temperature,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        max_seconds=max_seconds,
        trim_silence=trim_silence,
    )
    run(_say(_text(text, file), options, url=url, out=out, pause_ms=pause_ms, as_json=as_json))


def _text(text: str | None, file: Path | None) -> str:
    if (text is None) == (file is None):
        raise typer.BadParameter("give TEXT, or -f FILE, or - to read stdin")
    try:
        if file is not None:
            return file.read_text("utf-8")
        return sys.stdin.buffer.read().decode() if text == "-" else str(text)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file or 'stdin'}: is not UTF-8") from None


async def _say(text: str, options: SpeechOptions, *, url: str, out: str | None, pause_ms: float, as_json: bool) -> None:
    console = notes()
    started_s = asyncio.get_running_loop().time()
    # The sink comes first: a file that cannot be written must not cost the server a speech.
    with sink(out) as take:
        async with SpeechClient(url) as client, client.speak_long(text, options, pause_ms=pause_ms) as stream:
            await _pass_on(stream, take, console)
    wall_s = asyncio.get_running_loop().time() - started_s
    if as_json:
        print_json(_table(stream.result, out, wall_s))
    else:
        console.print(_line(stream.result, out, wall_s), soft_wrap=True)


async def _pass_on(stream: SpeechStream, take: Take, console: Console) -> None:
    spoken_s = 0.0
    with console.status("waiting for the first audio") as status:
        async for chunk in stream:
            await take(chunk.samples)
            spoken_s += chunk.duration_s
            status.update(f"{spoken_s:.1f} s spoken")


def _line(result: SpeechResult, out: str | None, wall_s: float) -> str:
    where = {None: "played", STDOUT: "stdout"}.get(out, out)
    if not result.duration_s:
        return f"{where}: nothing but silence"
    # Playing takes as long as it takes: how fast the server was does not show.
    factor = "" if out is None else f", real-time factor {wall_s / result.duration_s:.2f}"
    cut = {"stop": "", "length": ", cut at its time limit", "loop": ", cut because it repeated itself"}
    first = f"first audio after {result.first_audio_ms:.0f} ms"
    return f"{where}: {result.duration_s:.2f} s of speech, {first}{factor}{cut[result.finish_reason]}"


def _table(result: SpeechResult, out: str | None, wall_s: float) -> dict[str, Any]:
    factor = round(wall_s / result.duration_s, 4) if out and result.duration_s else None
    return {"out": out, "wall_s": round(wall_s, 4), "real_time_factor": factor, **asdict(result)}
