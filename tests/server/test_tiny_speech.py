"""What a constructed checkpoint says: whole frames in order, for as long as the text asks, under any sampling."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orpheus_core.checkpoint import LoopRule, Sampling
from orpheus_core.layout import (
    CODE_TOKEN_COUNT,
    CODES_PER_SLOT,
    END_OF_SPEECH,
    FRAMES_PER_SECOND,
    TOKENS_PER_FRAME,
)
from orpheus_core.loop import LoopGuard
from orpheus_core.prompt import cloning_prompt, preset_prompt
from orpheus_core.sampling import RANGES
from orpheus_core.tokens import Frames, TokenParser
from orpheus_core.voices import ENGLISH_VOICES
from server.tiny_speech import Speaker, as_fp8, random_speech
from snac_export.slots import decode
from snac_export.weights import Codec
from tiny_orpheus.checkpoint import build_checkpoint
from tiny_orpheus.circuit import BASE_TOKENS, TOKENS_PER_PROMPT_TOKEN
from tiny_orpheus.shape import SHAPES
from tiny_orpheus.wires import CODES_PER_GROUP

pytestmark = pytest.mark.server

MAX_TEXT_CHARS = 400
LONGEST_FRAMES = 72
SAMPLINGS = [
    Sampling(temperature=temperature, top_p=top_p, repetition_penalty=penalty)
    for temperature, top_p, penalty in itertools.product(
        RANGES["temperature"], RANGES["top_p"], RANGES["repetition_penalty"]
    )
]
SAMPLINGS.append(Sampling())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "checkpoint"
    build_checkpoint(SHAPES["tiny"], path, seed=0)
    return path


@pytest.fixture(scope="module")
def speaker(folder: Path) -> Speaker:
    return Speaker(folder)


@pytest.fixture(scope="module", params=["float32", "bfloat16", "fp8"])
def any_precision(request: pytest.FixtureRequest, folder: Path) -> Speaker:
    speaker = Speaker(folder, torch.float32 if request.param == "float32" else torch.bfloat16)
    if request.param == "fp8":
        as_fp8(speaker.model)
    return speaker


def prompt_of(text: str, voice: str = "tara") -> str:
    return preset_prompt(voice=voice, text=text)


def tokens_asked_for(speaker: Speaker, prompt: str) -> float:
    return BASE_TOKENS + TOKENS_PER_PROMPT_TOKEN * len(speaker.ids(prompt))


def parsed(said: str) -> Frames:
    """The frames, after the checks that hold for every speech."""
    assert said.endswith(END_OF_SPEECH)
    parser = TokenParser()
    frames = parser.push(said.removesuffix(END_OF_SPEECH))
    parser.flush()
    assert parser.dropped_tokens == 0
    assert not LoopGuard(LoopRule()).push(frames)
    return frames


@pytest.fixture(scope="module")
def sampled(speaker: Speaker) -> list[Frames]:
    """One speech for each of `SAMPLINGS`, each of another text."""
    prompts = [prompt_of(f"Line {index:02}.") for index in range(len(SAMPLINGS))]
    said = speaker.say(prompts, SAMPLINGS, seed=1, max_tokens=200)
    return [parsed(text) for text in said]


def test_whole_frames_and_a_proper_end_under_every_sampling(speaker: Speaker, sampled: list[Frames]) -> None:
    asked = tokens_asked_for(speaker, prompt_of("Line 00."))
    for sampling, frames in zip(SAMPLINGS, sampled, strict=True):
        assert asked <= TOKENS_PER_FRAME * len(frames) < asked + 2 * TOKENS_PER_FRAME, sampling
        assert len({frame.tobytes() for frame in frames}) == len(frames), sampling


def test_a_long_text_at_the_defaults(speaker: Speaker) -> None:
    texts = ["long words " * 36, "and others " * 36]
    for said in speaker.say([prompt_of(text) for text in texts], [Sampling()] * 2, seed=2, max_tokens=600):
        assert 5.0 < len(parsed(said)) / FRAMES_PER_SECOND < 6.0


def test_the_audio_can_be_heard(codec: Codec, sampled: list[Frames]) -> None:
    for frames in (sampled[0], sampled[-1]):
        audio = decode(codec.model, torch.from_numpy(frames)[None])
        assert 0.1 <= float(audio.abs().max()) <= 1.0


def allowed(speaker: Speaker, logits: torch.Tensor) -> torch.Tensor:
    """[positions, 9] bool: which slots, the end of speech (7) and anything else (8) could be drawn at a position under
    the harshest sampling."""
    penalty, temperature = RANGES["repetition_penalty"][1], RANGES["temperature"][1]
    codes = logits[:, speaker.first_code :][:, :CODE_TOKEN_COUNT].unflatten(1, (TOKENS_PER_FRAME, CODES_PER_SLOT))
    rest = logits.clone()
    rest[:, speaker.end] = -torch.inf
    rest[:, speaker.first_code :][:, :CODE_TOKEN_COUNT] = -torch.inf
    best = torch.cat((codes.amax(2), logits[:, [speaker.end]], rest.amax(1, keepdim=True)), dim=1)
    penalised = best.amax(1, keepdim=True) / penalty
    # e^-20 times all 29,000 ids is 6e-5; seen values are far below.
    return best / temperature > penalised / temperature - 20


def frames_until_end(speaker: Speaker, prompt: str) -> int:
    """How many frames follow the prompt at most, after checking that nothing else is possible on the way."""
    prompt_tokens = len(speaker.ids(prompt))
    logits = speaker.logits(prompt + random_speech(LONGEST_FRAMES))[prompt_tokens - 1 :]
    possible = allowed(speaker, logits)
    may_go_on, may_end = possible[::TOKENS_PER_FRAME, 0], possible[::TOKENS_PER_FRAME, TOKENS_PER_FRAME]
    first_end, frames = int(may_end.int().argmax()), int((~may_go_on).int().argmax())
    assert frames - 1 <= first_end <= frames
    next_kind = torch.eye(TOKENS_PER_FRAME + 2, dtype=torch.bool)
    expected = next_kind[:TOKENS_PER_FRAME].repeat(frames, 1)
    expected[first_end * TOKENS_PER_FRAME :: TOKENS_PER_FRAME, TOKENS_PER_FRAME] = True
    assert torch.equal(possible[: frames * TOKENS_PER_FRAME], expected)
    assert torch.equal(possible[frames * TOKENS_PER_FRAME], next_kind[TOKENS_PER_FRAME])
    return frames


@pytest.mark.parametrize("chars", [1, 60, MAX_TEXT_CHARS])
def test_length_grows_with_the_text_in_any_precision(any_precision: Speaker, chars: int) -> None:
    prompt = prompt_of("x" * chars)
    asked_frames = tokens_asked_for(any_precision, prompt) / TOKENS_PER_FRAME
    assert asked_frames - 0.5 <= frames_until_end(any_precision, prompt) <= asked_frames + 2.5


def test_a_sentence_takes_between_one_and_a_half_and_six_seconds(speaker: Speaker) -> None:
    shortest, longest = (frames_until_end(speaker, prompt_of("x" * chars)) for chars in (1, MAX_TEXT_CHARS))
    assert 1.5 <= shortest / FRAMES_PER_SECOND <= 1.7
    assert 5.5 <= longest / FRAMES_PER_SECOND <= 6.0


@pytest.mark.parametrize("reference_frames", [1, 60, 350])
def test_a_spoken_example_does_not_count(speaker: Speaker, reference_frames: int) -> None:
    codes = np.random.default_rng(0).integers(0, CODES_PER_SLOT, (reference_frames, TOKENS_PER_FRAME))
    text = "This is said in the voice of the example."
    prompt = cloning_prompt(reference_text="An example: of any length.", reference_frames=codes, text=text)
    alone = prompt_of("x" * (len(text) - len("tara: ")))
    assert frames_until_end(speaker, prompt) == frames_until_end(speaker, alone)


def preferences(speaker: Speaker, voice: str, text: str) -> tuple[float, ...]:
    """Logit of each group of codes for the first token."""
    logits = speaker.logits(prompt_of(text, voice))[-1]
    return tuple(logits[speaker.first_code :][:CODES_PER_SLOT:CODES_PER_GROUP].round(decimals=1).tolist())


def test_each_voice_prefers_codes_of_its_own_whatever_the_text(speaker: Speaker) -> None:
    by_voice = {voice: preferences(speaker, voice, "Hello there.") for voice in ENGLISH_VOICES}
    assert len(set(by_voice.values())) == len(ENGLISH_VOICES)
    for voice, preferred in by_voice.items():
        assert preferences(speaker, voice, "tara: and leo: say something else") == preferred


def test_a_seed_repeats_a_speech_and_another_does_not(speaker: Speaker) -> None:
    def say(seed: int) -> Any:
        return speaker.say([prompt_of("Hi.")], [Sampling()], seed=seed, max_tokens=21)

    assert say(3) == say(3) != say(4)
