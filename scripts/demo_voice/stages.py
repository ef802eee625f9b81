"""The stages, each made from those before it."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from demo_voice import codec_training, export, lm_run
from demo_voice.arguments import read_arguments
from demo_voice.checkpoint import read_weights
from demo_voice.codec_data import CodecData
from demo_voice.errors import RecipeError
from demo_voice.lm_run import Phase
from demo_voice.lm_training import Training
from demo_voice.recipe import Recipe

TRUNK = "trunk"


def make_corpus(recipe: Recipe) -> None:
    """Sentences, spoken."""
    recipe.corpus.make(recipe.options.shards, recipe.options.workers)


def make_codec(recipe: Recipe) -> None:
    """Codebook, decoder, encoder."""
    if codec_training.finished(recipe.codebook, recipe.codec_settings, recipe.codec_folder):
        return
    data = CodecData.read(recipe.corpus, recipe.codebook, recipe.codec_settings)
    codec = codec_training.train(data, recipe.codebook, recipe.codec_settings, recipe.codec_folder, say)
    shares = codec_training.agreement(codec.encoder, data.held_out)
    say("encoder hears " + ", ".join(f"{share:.1%} of {name}" for name, share in shares.items()))


def make_lm(recipe: Recipe) -> None:
    """Trunk and finish of the language model."""
    training = Training(recipe.encoded(), recipe.lexicon, recipe.lm_settings)
    if recipe.options.warm_start:
        training.warm_start(read_weights(recipe.options.warm_start / "lm"))
    snapshot = recipe.lm_folder / f"{TRUNK}-{recipe.options.trunk_steps}.pt"
    if not snapshot.exists():
        _grow_trunk(recipe, training, snapshot)
    if recipe.options.finish_steps:
        training.load(snapshot)
        training.restart_count()
        options = recipe.options
        phase = Phase(name=recipe.finish_name, steps=options.finish_steps, falling=True, first_rate=options.finish_rate)
        lm_run.run(training, phase, recipe.lm_folder, say=say)


def _grow_trunk(recipe: Recipe, training: Training, snapshot: Path) -> None:
    """The trunk goes on under its own name; a finish starts from the snapshot."""
    phase = Phase(name=TRUNK, steps=recipe.options.trunk_steps, falling=False)
    lm_run.run(training, phase, recipe.lm_folder, say=say)
    if training.step > phase.steps:
        raise RecipeError(f"--trunk-steps: the trunk is at {training.step} already: ask for that many or more")
    training.save(snapshot)


def make_export(recipe: Recipe) -> None:
    """The folder that is served. Without steps of a finish it is the trunk's, as far as it is."""
    codec = codec_training.finished(recipe.codebook, recipe.codec_settings, recipe.codec_folder)
    weights = recipe.lm_folder / f"{recipe.finish_name if recipe.options.finish_steps else TRUNK}.pt"
    if codec is None or not weights.exists():
        raise RecipeError(f"{weights}: not there, or no codec yet: run the stages codec and lm first")
    state = torch.load(weights, weights_only=True)
    spoken = CodecData.read(recipe.corpus, recipe.codebook, recipe.codec_settings).held_out
    export.export(
        state["average"], codec, recipe.lm_settings.shape, recipe.options.release, spoken=spoken,
        lexicon=recipe.lexicon, codebook=recipe.codebook, facts=facts(recipe, state),
    )  # fmt: skip
    say(f"exported to {recipe.options.release}")


def facts(recipe: Recipe, state: Mapping[str, Any]) -> dict[str, Any]:
    """All settings, and how much was trained on."""
    settings: dict[str, Any] = {
        "corpus": recipe.corpus_settings, "codebook": recipe.codebook_settings, "codec": recipe.codec_settings,
        "lm": recipe.lm_settings,
    }  # fmt: skip
    return {
        "settings": {name: asdict(value) for name, value in settings.items()},
        "trunk_steps": recipe.options.trunk_steps if recipe.options.finish_steps else int(state["step"]),
        "finish_steps": int(state["step"]) if recipe.options.finish_steps else 0,
        "shards": state["shards"],
        "warm_start": _release_facts(recipe.options.warm_start),
        "longest_text_chars": max(map(len, recipe.corpus.texts.training)),
        "torch": torch.__version__,
    }


def _release_facts(release: Path | None) -> dict[str, Any] | None:
    """Of the release that the training went on from: its steps and shards come before these."""
    if release is None:
        return None
    known: dict[str, Any] = json.loads((release / export.FACTS_FILE).read_text(encoding="utf-8"))
    return {name: known[name] for name in ("trunk_steps", "finish_steps", "shards", "warm_start") if name in known}


def make_evaluation(recipe: Recipe) -> None:
    """What a recogniser hears of the served voice."""
    from demo_voice import evaluate  # noqa: PLC0415  (the recogniser takes seconds to import)

    evaluate.evaluate(recipe, say=say)


STAGES: Mapping[str, Callable[[Recipe], None]] = {
    "corpus": make_corpus, "codec": make_codec, "lm": make_lm, "export": make_export, "evaluate": make_evaluation,
}  # fmt: skip
ALL = ("corpus", "codec", "lm", "export")


def say(line: str) -> None:
    """One line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main(arguments: list[str]) -> int:
    """Exit status 1 and a sentence if a stage cannot be done."""
    options = read_arguments(arguments)
    # Small weights in a decaying training become denormal, which costs a hundredfold.
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    recipe = Recipe(options)
    try:
        for stage in ALL if options.stage == "all" else (options.stage,):
            STAGES[stage](recipe)
    except (RecipeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except lm_run.Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
