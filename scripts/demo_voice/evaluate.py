"""The judge's verdict on the served voice, beside its floor: the teacher's audio, and the codec with true codes."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from demo_voice.errors import RecipeError
from demo_voice.judge import Judge
from demo_voice.page import Page
from demo_voice.pictures import write_ogg, write_spectrogram
from demo_voice.store import write_json
from demo_voice.trials import CODEC, SERVED, SOURCES, TEACHER, Audio, Served, Teacher, Trial, sampling_of, serve, trials
from demo_voice.word_errors import Errors, errors
from orpheus_core.checkpoint import Sampling

if TYPE_CHECKING:
    from demo_voice.recipe import Recipe

SEED = 50
SILENT_PEAK = 0.05
TRUNCATED_SHARE = 0.6
"""Of the teacher's length, below which a speech counts as cut off."""
SAMPLES = 3
PICTURES = 2


@dataclass(slots=True)
class Verdict:
    """One trial."""

    trial: Trial
    heard: dict[str, str] = field(default_factory=dict)
    """By source."""
    wrong: dict[str, int] = field(default_factory=dict)
    words: int = 0
    seconds: float = 0.0
    real_time_factor: float = 0.0
    first_audio_ms: float = 0.0
    finish_reason: str = ""
    silent: bool = False
    truncated: bool = False


def evaluate(recipe: "Recipe", *, say: Callable[[str], None]) -> None:
    """Writes `verdicts.json`, `table.md`, samples and spectrograms to the report's folder.

    With a page its figures go there, and what can be heard and seen into the folder beside it that has its name; the
    verdicts, which hold sentences of others, stay in the report.

    Raises:
        RecipeError: there is no release, or the page has no place for figures.
    """
    release = recipe.options.release
    if not (release / "codec" / "decoder.onnx").exists():
        raise RecipeError(f"{release}: no release there: run the stage export first, or name another with --release")
    out = recipe.options.report or recipe.options.cache / "report"
    page = Page.read(recipe.options.page) if recipe.options.page else None
    media = recipe.options.page.with_suffix("") if page else out
    chosen = trials(recipe.corpus.texts, recipe.options.sentences, SEED)
    teacher = Teacher(recipe.codebook, release / "codec" / "decoder.onnx")
    judge = Judge()
    verdicts = []
    for index, (trial, served) in enumerate(serve(recipe.options.address, chosen)):
        said, coded = teacher.say(trial)
        verdicts.append(_verdict(judge, trial, {TEACHER: said, CODEC: coded, SERVED: served.audio}, served))
        if index < max(SAMPLES, PICTURES):
            _keep(media, index, served.audio, said)
        say(f"{index + 1} of {len(chosen)}: {trial.text!r}: {verdicts[-1].heard[SERVED]!r}")
    sampling = sampling_of(recipe.options.address)
    write_json(out / "verdicts.json", {"sampling": asdict(sampling), "verdicts": [asdict(v) for v in verdicts]})
    figures = table(verdicts, sampling)
    (out / "table.md").write_text(figures, encoding="utf-8")
    say(f"{out}\n{figures}")
    if page:
        page.put(figures)


def _verdict(judge: Judge, trial: Trial, audio: dict[str, Audio], served: Served) -> Verdict:
    seconds = len(audio[SERVED]) / 24_000
    verdict = Verdict(
        trial,
        seconds=seconds,
        real_time_factor=seconds / served.wall_s,
        first_audio_ms=served.result.first_audio_ms or 0.0,
        finish_reason=served.result.finish_reason,
        silent=float(np.abs(audio[SERVED]).max(initial=0)) < SILENT_PEAK,
        truncated=len(audio[SERVED]) < TRUNCATED_SHARE * len(audio[TEACHER]),
    )
    for source in SOURCES:
        verdict.heard[source] = judge.heard(audio[source])
        found = errors(trial.text, verdict.heard[source])
        verdict.wrong[source], verdict.words = found.wrong, found.words
    return verdict


def _keep(out: Path, index: int, served: Audio, said: Audio) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if index < SAMPLES:
        write_ogg(out / f"sample-{index + 1}.ogg", served)
    if index < PICTURES:
        write_spectrogram(out / f"served-{index + 1}.png", served)
        write_spectrogram(out / f"teacher-{index + 1}.png", said)


def table(verdicts: list[Verdict], sampling: Sampling) -> str:
    """Word error rates by voice and kind, and what went wrong otherwise, in Markdown."""
    lines = [
        "| voice | kind | sentences | words | " + " | ".join(SOURCES) + " | served above teacher |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups = sorted({(v.trial.voice, v.trial.kind) for v in verdicts})
    for voice, kind in groups:
        group = [v for v in verdicts if (v.trial.voice, v.trial.kind) == (voice, kind)]
        rate = {source: _errors(group, source).rate for source in SOURCES}
        shown = " | ".join(f"{rate[source]:.1%}" for source in SOURCES)
        above = f"{100 * (rate[SERVED] - rate[TEACHER]):+.1f} points"
        lines.append(f"| {voice} | {kind} | {len(group)} | {_errors(group, SERVED).words} | {shown} | {above} |")
    return "\n".join([*lines, "", *_figures(verdicts, sampling)]) + "\n"


def _errors(verdicts: Iterable[Verdict], source: str) -> Errors:
    return sum((Errors(v.wrong[source], v.words) for v in verdicts), start=Errors(0, 0))


def _figures(verdicts: list[Verdict], sampling: Sampling) -> list[str]:
    runaways = [v for v in verdicts if v.finish_reason != "stop"]
    factors = [v.real_time_factor for v in verdicts]
    first_ms = [v.first_audio_ms for v in verdicts]
    return [
        f"- runaway: {len(runaways)}, silent: {sum(v.silent for v in verdicts)}, "
        f"cut off: {sum(v.truncated for v in verdicts)}, of {len(verdicts)}",
        f"- times real time: median {np.median(factors):.2f}, lowest {min(factors):.2f}",
        f"- first audio: median {np.median(first_ms):.0f} ms, 95 % within {np.percentile(first_ms, 95):.0f} ms",
        f"- temperature {sampling.temperature}, top_p {sampling.top_p}, "
        f"repetition_penalty {sampling.repetition_penalty}, a seed for each sentence, one stream at a time, "
        "silence not trimmed",
    ]
