"""The checkpoint list: what a profile says, joined with what the checkpoint's own tokenizer says."""

from pathlib import Path

from launcher.artefacts import Artefacts
from launcher.errors import LaunchError
from launcher.profile import CheckpointChoice, Codec, Profile
from launcher.tokenizer import Tokenizer
from orpheus_core.checkpoint import Checkpoint, Decoder
from orpheus_core.length import worst_case_tokens
from orpheus_core.lexicon import NO_LEXICON, Lexicon
from orpheus_core.voices import RELEASED

LLM_MODEL = "orpheus_llm"
LEXICON_FILE = "lexicon.txt"
"""In the folder of a checkpoint that wants words written in its own way."""


def checkpoint_list(profile: Profile, artefacts: Artefacts) -> tuple[Checkpoint, ...]:
    """One entry per checkpoint of the profile, in its order.

    Raises:
        LaunchError: a checkpoint with another token layout, a language without voices, texts that do not fit.
    """
    return tuple(
        describe(choice, model=LLM_MODEL if index == 0 else f"{LLM_MODEL}_{choice.name}",
                 folder=artefacts.checkpoints[choice.name], codec=profile.codec)
        for index, choice in enumerate(profile.checkpoints)
    )  # fmt: skip


def describe(choice: CheckpointChoice, *, model: str, folder: Path, codec: Codec) -> Checkpoint:
    """One entry.

    Raises:
        LaunchError: as `checkpoint_list`.
    """
    voices = {language: _voices(choice, language) for language in choice.languages}
    if choice.can_clone and not choice.voices:
        voices = {}
    names = voices.get(choice.languages[0], ())
    if choice.default_voice and choice.default_voice not in {name for spoken in voices.values() for name in spoken}:
        raise LaunchError(
            f"checkpoint {choice.name!r}: default_voice: {choice.default_voice!r}: give one of its voices, such as "
            f"{', '.join(names)}"
        )
    checkpoint = Checkpoint(
        name=choice.name,
        model=model,
        stop_token_ids=Tokenizer.read(folder).stop_token_ids(),
        languages=choice.languages,
        voices=voices,
        default_voice=choice.default_voice or (names[0] if names else ""),
        tags={language: _tags(choice, language) for language in choice.languages},
        foreign_tags=choice.foreign_tags,
        sampling=choice.sampling,
        can_clone=choice.can_clone,
        max_model_len=choice.engine.max_model_len,
        max_text_chars=choice.max_text_chars,
        budget=choice.budget,
        loop=choice.loop,
        decoder=Decoder(
            receptive_field_samples=codec.receptive_field_samples,
            bucket_frames=codec.bucket_frames,
        ),
        normaliser=choice.normaliser,
        lexicon=f"lexicon-{choice.name}.txt" if (folder / LEXICON_FILE).exists() else "",
    )
    _require_fit(checkpoint, _lexicon(folder))
    return checkpoint


def _voices(choice: CheckpointChoice, language: str) -> tuple[str, ...]:
    if language in choice.voices:
        return choice.voices[language]
    if language not in RELEASED:
        raise LaunchError(
            f"checkpoint {choice.name!r}: no released voices for {language!r} (there are some for "
            f"{', '.join(RELEASED)}): list them under [checkpoints.voices]"
        )
    return RELEASED[language].voices


def _tags(choice: CheckpointChoice, language: str) -> tuple[str, ...]:
    if language in choice.tags or language not in RELEASED:
        return choice.tags.get(language, ())
    return RELEASED[language].tags


def _lexicon(folder: Path) -> Lexicon:
    file = folder / LEXICON_FILE
    return Lexicon.parse(file.read_text(encoding="utf-8")) if file.exists() else NO_LEXICON


def _require_fit(checkpoint: Checkpoint, lexicon: Lexicon) -> None:
    if (needed := worst_case_tokens(checkpoint, lexicon.bytes_per_char)) > checkpoint.max_model_len:
        raise LaunchError(
            f"checkpoint {checkpoint.name!r}: a text of max_text_chars = {checkpoint.max_text_chars} characters may "
            f"need {needed} tokens, max_model_len is {checkpoint.max_model_len}: raise max_model_len "
            "(VLLM_MAX_MODEL_LEN) to that, or lower max_text_chars in the profile"
        )
