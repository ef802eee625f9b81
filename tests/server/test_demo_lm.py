"""The demo voice's language model: Orpheus's strings, Hugging Face's Llama, and a training that can be broken off."""

import json
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from demo_voice import lm_run
from demo_voice.alignment import letters_of_phones
from demo_voice.checkpoint import read_weights, write_checkpoint
from demo_voice.codec_data import Spoken
from demo_voice.codec_training import Codec
from demo_voice.decoder import Decoder
from demo_voice.encoded import EncodedCorpus
from demo_voice.encoder import Encoder
from demo_voice.export import export
from demo_voice.llama import Llama
from demo_voice.lm_data import DEV_PER_VOICE, Plan, Shards, epoch, partly_written
from demo_voice.lm_loss import GUIDED_HEADS, loss
from demo_voice.lm_run import Phase, Stopped, run
from demo_voice.lm_training import Training
from demo_voice.sequences import NO_TARGET, SKELETON_SLOTS, collate, grouped, skeleton, whole
from demo_voice.settings import LmSettings, LmShape
from demo_voice.tokenizer import build
from demo_voice.vocabulary import SIZE, SLOT_STARTS, prompt_ids, token_ids
from orpheus_core.layout import END_OF_SPEECH, TOKENS_PER_FRAME
from orpheus_core.lexicon import Lexicon
from orpheus_core.prompt import code_tokens, preset_prompt
from server.demo_corpus import made_up_codebook, made_up_corpus

pytestmark = pytest.mark.server

SHAPE = LmShape(hidden=32, layers=6, heads=4, intermediate=48)
LEXICON = Lexicon({"number": "ɴˈʌᴍʙɝ"})
SETTINGS = LmSettings(shape=SHAPE, batch_tokens=600, warmup_steps=2)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    torch.set_num_threads(before)
    for number, handler in handlers:
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> EncodedCorpus:
    return made_up_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize("text", ["it's nine o'clock, isn't it?", "yes.", "a ʙ, ꜱˈɨ! d?"])
def test_the_tokenizer_reads_a_prompt_as_the_training_does(text: str) -> None:
    ids, _ = prompt_ids("leo", text)
    assert build().encode(preset_prompt(voice="leo", text=text)).ids == ids.tolist()


def test_the_tokenizer_folds_case_and_accents_and_keeps_codes_whole() -> None:
    tokenizer = build()
    assert tokenizer.encode("tara: ÉCOLE").tokens[1:] == list("tara: ecole")
    codes = code_tokens(np.array([[33, 122, 0, 1, 2, 3, 511]]))
    ids = tokenizer.encode(codes).ids
    assert len(ids) == 1 + TOKENS_PER_FRAME
    assert tokenizer.decode(ids[1:], skip_special_tokens=False) == codes


def test_the_model_is_hugging_face_s_llama(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import AutoTokenizer, LlamaForCausalLM  # noqa: PLC0415  (slow, and it warns)

    model = Llama(SHAPE, SIZE, seed=3)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    write_checkpoint(model.state_dict(), SHAPE, tmp_path)
    model.load_state_dict(read_weights(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer(preset_prompt(voice="tara", text="hello there."), return_tensors="pt").input_ids
    with torch.inference_mode():
        hidden, _ = model(ids, torch.arange(ids.shape[1])[None])
        difference = (model.logits(hidden) - theirs(ids).logits).abs().max()
    assert float(difference) < 1e-3


def test_a_sequence_is_prompt_codes_and_end(corpus: EncodedCorpus) -> None:
    reading = corpus.read(corpus.corpus.settings.voices[1], 0)[5]
    sequence = whole(reading, reading.text)
    strings = {number: token for token, number in token_ids().items()}
    asked = sequence.targets != NO_TARGET
    text = "".join(strings[number] for number in sequence.ids)
    assert text == "<|begin_of_text|>" + preset_prompt(voice="leo", text=reading.text) + code_tokens(reading.codes)
    assert "".join(strings[n] for n in sequence.targets[asked]) == code_tokens(reading.codes) + END_OF_SPEECH
    assert np.array_equal(sequence.ids[1:][asked[:-1]], sequence.targets[:-1][asked[:-1]])


@pytest.mark.parametrize("lexicon", [LEXICON, Lexicon({})])
def test_heads_are_asked_to_look_at_characters_of_the_text(corpus: EncodedCorpus, lexicon: Lexicon) -> None:
    reading = corpus.read(corpus.corpus.settings.voices[0], 0)[3]
    written = lexicon.written(reading.text)
    sequence = whole(reading, written)
    queries = np.flatnonzero(sequence.looks[:, 0] != NO_TARGET)
    assert len(queries) == 2 * len(reading.codes)
    phone_ids = sequence.targets[queries]
    assert (phone_ids >= SLOT_STARTS[1]).all()
    assert (phone_ids < SLOT_STARTS[3]).all()
    strings = {number: token for token, number in token_ids().items()}
    looked_at = [strings[n] for n in sequence.ids[sequence.looks[queries, 0]]]
    read_from = letters_of_phones(f" {written}", reading.phones)
    assert looked_at == [f" {written}"[i] for i in read_from[np.concatenate(([0], reading.steps[:-1]))]]


def test_some_words_keep_their_letters(corpus: EncodedCorpus) -> None:
    text = "number " * 2000
    written = partly_written(text, LEXICON, np.random.default_rng(0)).split()
    assert set(written) == {"number", LEXICON.spellings["number"]}
    assert 0.05 < written.count("number") / len(written) < 0.15


def test_a_skeleton_predicts_the_same_where_it_predicts(corpus: EncodedCorpus) -> None:
    reading = corpus.read(corpus.corpus.settings.voices[0], 0)[7]
    full = whole(reading, reading.text)
    bones = skeleton(full, len(reading.codes))
    assert len(full.ids) - len(bones.ids) == len(reading.codes) * (TOKENS_PER_FRAME - len(SKELETON_SLOTS))
    for name in ("ids", "targets", "weights", "looks"):
        assert np.array_equal(getattr(bones, name), getattr(full, name)[bones.positions])
    phones = (full.targets >= SLOT_STARTS[0]) & (full.targets < SLOT_STARTS[3])
    assert set(np.flatnonzero(phones)) <= set(bones.positions)


def test_groups_have_every_sequence_once_and_no_more_tokens_than_asked() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(40, 300, 200)
    found = grouped(lengths, 600, rng)
    assert sorted(index for group in found for index in group) == list(range(200))
    assert all(len(group) * lengths[group].max() <= 600 for group in found)


def test_an_epoch_has_every_sentence_once(corpus: EncodedCorpus) -> None:
    plans = list(
        epoch(corpus, LEXICON, Shards({"tara": 1, "leo": 1}), seed=1, number=0, batch_tokens=600, whole_only=False)
    )
    read = sorted((r.voice, r.text) for plan in plans for r in plan.readings)
    assert len(read) == len(corpus.read(corpus.corpus.settings.voices[0], 0)) * 2 - 2 * DEV_PER_VOICE
    assert 0 < sum(len(p.readings) for p in plans if p.spectra) < len(read) / 2
    for plan in plans:
        batch = plan.batch()
        assert batch.ids.shape[0] == len(plan.readings)
        assert batch.tokens >= plan.tokens


def test_the_loss_sees_no_padding_and_asks_heads_for_attention(corpus: EncodedCorpus) -> None:
    readings = corpus.read(corpus.corpus.settings.voices[0], 0)
    short, long = sorted((whole(r, r.text) for r in readings[:20]), key=lambda s: len(s.ids))[::19]
    model = Llama(SHAPE, SIZE, seed=1)
    pair, single = collate([short, long]), collate([short])
    hidden, attentions = model(pair.ids, pair.positions)
    lone, _ = model(single.ids, single.positions)
    assert torch.allclose(hidden[0, : len(short.ids)], lone[0], atol=1e-5)
    assert len(attentions) == SHAPE.layers > max(layer for layer, _, _ in GUIDED_HEADS)
    alone = loss(model, single, guidance=0.0, z_loss=0.0)
    guided = loss(model, single, guidance=1.0, z_loss=0.0)
    assert float((guided.total - alone.total).detach()) == pytest.approx(guided.by_level["look"], rel=1e-4)


def test_training_learns(corpus: EncodedCorpus, tmp_path: Path) -> None:
    training = Training(corpus, LEXICON, SETTINGS)
    before = training.dev()
    run(training, Phase(name="trunk", steps=30, falling=False), tmp_path, say=lambda _: None)
    after = training.dev()
    assert after["phone"] < before["phone"] - 1
    assert after["pitch"] < before["pitch"] - 1
    lines = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20]


def test_a_stopped_training_goes_on_as_if_nothing_had_happened(corpus: EncodedCorpus, tmp_path: Path) -> None:
    phase = Phase(name="trunk", steps=6, falling=False)
    through = Training(corpus, LEXICON, SETTINGS)
    run(through, phase, tmp_path / "through", say=lambda _: None)

    stopped = Training(corpus, LEXICON, SETTINGS)
    original = stopped.train

    def train_and_ask_to_stop(plans: Sequence[Plan], scale: float) -> dict[str, float]:
        found = original(plans, scale)
        if stopped.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return found

    stopped.train = train_and_ask_to_stop  # type: ignore[method-assign]
    with pytest.raises(Stopped, match="step 3"):
        run(stopped, phase, tmp_path / "stopped", say=lambda _: None)

    resumed = Training(corpus, LEXICON, replace(SETTINGS))
    run(resumed, phase, tmp_path / "stopped", say=lambda _: None)
    assert resumed.step == 6
    for name, weight in through.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name
        assert torch.equal(through.average[name], resumed.average[name]), name


def test_a_finish_falls_to_nothing_and_leaves_its_trunk(corpus: EncodedCorpus, tmp_path: Path) -> None:
    training = Training(corpus, LEXICON, SETTINGS)
    trunk = run(training, Phase(name="trunk", steps=2, falling=False), tmp_path, say=lambda _: None)
    kept = trunk.read_bytes()
    training.restart_count()
    phase = Phase(name="finish", steps=3, falling=True)
    scales: list[float] = []
    original = training.train

    def train_and_note(plans: Sequence[Plan], scale: float) -> dict[str, float]:
        scales.append(scale)
        return original(plans, scale)

    training.train = train_and_note  # type: ignore[method-assign]
    run(training, phase, tmp_path, say=lambda _: None)
    assert scales == sorted(scales, reverse=True)
    assert scales[0] == 1.0
    assert phase.scale(training) == pytest.approx(lm_run.LAST_RATE)
    assert trunk.read_bytes() == kept


def test_the_release_is_a_folder_that_the_launcher_can_describe(tmp_path: Path) -> None:
    codebook = made_up_codebook()
    codec = Codec(Decoder().eval(), Encoder(codebook).eval())
    rng = np.random.default_rng(0)
    spoken = [Spoken(torch.zeros(4, 7, dtype=torch.int64), torch.from_numpy(rng.normal(size=8192).astype(np.float32)))]
    out = tmp_path / "release"
    export(
        Llama(SHAPE, SIZE, seed=1).state_dict(), codec, SHAPE, out, lexicon=LEXICON, codebook=codebook,
        facts={"steps": 1}, spoken=spoken,
    )  # fmt: skip
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == [
        "SHA256SUMS", "codec/codebook.npz", "codec/decoder.onnx", "codec/encoder.onnx", "lm/config.json",
        "lm/generation_config.json", "lm/lexicon.txt", "lm/model.safetensors", "lm/tokenizer.json",
        "lm/tokenizer_config.json", "recipe.json",
    ]  # fmt: skip
    assert len((out / "SHA256SUMS").read_text().splitlines()) == len(files) - 1
    facts = json.loads((out / "recipe.json").read_text())
    assert facts["receptive_field_samples"] == 1920
    assert facts["steps"] == 1
    tokenizer = json.loads((out / "lm" / "tokenizer.json").read_text())
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    assert added[END_OF_SPEECH] == token_ids()[END_OF_SPEECH] < SIZE
    assert [path.name for path in tmp_path.iterdir()] == ["release"]
