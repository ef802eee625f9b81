"""The demo voice's decoder and encoder: SNAC's interface, exact in any window, the same bytes for the same codes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch

from demo_voice import codec_losses, codec_training, graphs
from demo_voice.codec_data import CodecData, Spoken
from demo_voice.codec_losses import near_codes, swapped
from demo_voice.codec_training import finished, train
from demo_voice.decoder import RECEPTIVE_FIELD_SAMPLES, Decoder, decode
from demo_voice.encoder import Encoder
from demo_voice.features import cepstra
from demo_voice.layout import CODES_USED, PITCHES
from demo_voice.settings import CodecSettings
from demo_voice.source import pulses
from demo_voice.spectral_loss import spectral_loss
from orpheus_core.layout import CODES_PER_SLOT, DECODER_BUCKET_FRAMES, SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from server.demo_corpus import made_up_codebook, made_up_corpus

pytestmark = pytest.mark.server

MAX_DIFFERENCE = 1e-5


def speech(seed: int, frames: int) -> torch.Tensor:
    """Codes [1, F, 7] within what the layout uses."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([rng.integers(0, used, frames) for used in CODES_USED], axis=-1))[None]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    """Untrained, but loud, so that every difference is heard."""
    torch.manual_seed(0)
    model: Decoder = Decoder().eval()
    torch.nn.init.normal_(model.head.weight, std=0.03)
    torch.nn.init.constant_(model.head.bias, -4.0)
    return model


@pytest.fixture(scope="module")
def files(decoder: Decoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codec")
    torch.manual_seed(1)
    graphs.write_decoder(decoder, folder / "decoder.onnx")
    graphs.write_encoder(Encoder(made_up_codebook()).eval(), folder / "encoder.onnx")
    return folder


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def in_window(codes: torch.Tensor, bucket_frames: int, first: int) -> tuple[torch.Tensor, torch.Tensor]:
    padded = torch.zeros(1, bucket_frames, TOKENS_PER_FRAME, dtype=torch.int64)
    padded[:, first : first + codes.shape[1]] = codes
    return padded, torch.tensor([[first, first + codes.shape[1]]], dtype=torch.int32)


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 8, 9, 16, 21, 32, 64])
def test_frames_in_a_window_sound_as_if_alone(decoder: Decoder, frames: int) -> None:
    codes = speech(frames, frames)
    alone = decode(decoder, codes)
    assert 0.05 < float(alone.abs().max()) < 5
    bucket_frames = next(bucket for bucket in DECODER_BUCKET_FRAMES if bucket >= frames)
    for first in {0, (bucket_frames - frames) // 2, bucket_frames - frames}:
        padded, valid = in_window(codes, bucket_frames, first)
        with torch.inference_mode():
            audio = decoder(padded, valid)
        start, end = first * SAMPLES_PER_FRAME, (first + frames) * SAMPLES_PER_FRAME
        assert float((audio[:, start:end] - alone).abs().max()) <= MAX_DIFFERENCE
        assert not audio[:, :start].any()
        assert not audio[:, end:].any()


def test_a_frame_reaches_no_further_than_the_constant_says(decoder: Decoder) -> None:
    """Changed by each slot in turn; in double precision, which rounds no trace away."""
    frames, changed = 9, 4
    doubles = Decoder().double().eval()
    doubles.load_state_dict(decoder.state_dict())
    codes = speech(0, frames)
    before, after = [], []
    for slot in range(TOKENS_PER_FRAME):
        for other_code in (0, CODES_USED[slot] - 1):
            other = codes.clone()
            other[0, changed, slot] = other_code
            differs = np.flatnonzero((decode(doubles, codes) != decode(doubles, other))[0].numpy())
            if len(differs):
                before.append(changed * SAMPLES_PER_FRAME - differs[0])
                after.append(differs[-1] + 1 - (changed + 1) * SAMPLES_PER_FRAME)
    assert max(*before, *after) == RECEPTIVE_FIELD_SAMPLES
    assert RECEPTIVE_FIELD_SAMPLES <= SAMPLES_PER_FRAME


def test_streaming_by_the_receptive_field_equals_one_decode(decoder: Decoder) -> None:
    codes = speech(5, 20)
    whole = decode(decoder, codes)[0]
    parts, sent = [], 0
    for end in (2, 3, 6, 7, 13, 20):
        # One frame of context to the left: the receptive field is within a frame.
        start = max(0, sent // SAMPLES_PER_FRAME - 1)
        audio = decode(decoder, codes[:, start:end])[0]
        final = end * SAMPLES_PER_FRAME - (0 if end == 20 else RECEPTIVE_FIELD_SAMPLES)
        assert sent - start * SAMPLES_PER_FRAME >= RECEPTIVE_FIELD_SAMPLES or start == 0
        parts.append(audio[sent - start * SAMPLES_PER_FRAME : final - start * SAMPLES_PER_FRAME])
        sent = final
    joined = torch.cat(parts)
    assert joined.shape == whole.shape
    assert float((joined - whole).abs().max()) <= MAX_DIFFERENCE


def test_the_file_has_snac_s_interface(files: Path) -> None:
    decoder_file = session(files / "decoder.onnx")
    assert [(i.name, i.type, len(i.shape)) for i in decoder_file.get_inputs()] == [
        ("codes", "tensor(int64)", 3), ("valid", "tensor(int32)", 2),
    ]  # fmt: skip
    assert [(o.name, o.type, len(o.shape)) for o in decoder_file.get_outputs()] == [("audio", "tensor(float)", 2)]
    encoder_file = session(files / "encoder.onnx")
    assert [(i.name, i.type, len(i.shape)) for i in encoder_file.get_inputs()] == [("audio", "tensor(float)", 1)]
    assert [(o.name, o.type, len(o.shape)) for o in encoder_file.get_outputs()] == [("codes", "tensor(int64)", 2)]


def test_a_batch_of_unlike_windows_in_the_file(decoder: Decoder, files: Path) -> None:
    rows = [(0, 8), (3, 4), (7, 1), (0, 0), (1, 7)]
    windows = [in_window(speech(index, frames), 8, first) for index, (first, frames) in enumerate(rows)]
    feed = {
        "codes": torch.cat([codes for codes, _ in windows]).numpy(),
        "valid": torch.cat([valid for _, valid in windows]).numpy(),
    }
    run = session(files / "decoder.onnx")
    (audio,) = run.run(None, feed)
    assert audio.shape == (len(rows), 8 * SAMPLES_PER_FRAME)
    for row, index in zip(audio, range(len(rows)), strict=True):
        first, frames = rows[index]
        if not frames:
            assert not row.any()
            continue
        alone = run.run(None, {"codes": speech(index, frames).numpy(), "valid": np.array([[0, frames]], np.int32)})[0][
            0
        ]
        start = first * SAMPLES_PER_FRAME
        assert np.abs(row[start : start + len(alone)] - alone).max() <= MAX_DIFFERENCE
    (again,) = run.run(None, feed)
    assert audio.tobytes() == again.tobytes()


def test_the_files_are_what_pytorch_is(decoder: Decoder, files: Path) -> None:
    spoken = [Spoken(speech(n, 6)[0], torch.from_numpy(sawtooth(120.0 + n, 6))) for n in range(3)]
    assert graphs.check_decoder(decoder, files / "decoder.onnx", spoken) <= MAX_DIFFERENCE
    torch.manual_seed(1)
    assert graphs.check_encoder(Encoder(made_up_codebook()).eval(), files / "encoder.onnx", spoken) >= 0.99


def test_the_encoder_s_file_gives_a_frame_of_codes_each_2048_samples(files: Path) -> None:
    run = session(files / "encoder.onnx")
    for frames in (1, 5, 40):
        (codes,) = run.run(None, {"audio": sawtooth(150.0, frames)})
        assert codes.shape == (frames, TOKENS_PER_FRAME)
        assert (codes >= 0).all()
        assert (codes.max(axis=0) < CODES_USED).all()
        assert codes.max() < CODES_PER_SLOT
        assert len(set(codes[:, 0] // PITCHES)) == 1


def test_the_encoder_finds_the_nearest_centroid() -> None:
    codebook = made_up_codebook()
    encoder = Encoder(codebook).eval()
    audio = sawtooth(140.0, 6)
    with torch.inference_mode():
        codes = encoder(torch.from_numpy(audio)).numpy()
    voice = int(codes[0, 0]) // PITCHES
    assert codes[:, 3:].reshape(-1).tolist() == codebook.nearest(cepstra(audio), voice).tolist()


def test_the_source_has_whole_cycles_and_even_power() -> None:
    audio = pulses(torch.tensor([[15.0, 16.0, 0.0, 8.0, 9.0]])).reshape(5, -1)
    assert not audio[2].any()
    for frame in (0, 1, 3, 4):
        assert float(audio[frame].std()) == pytest.approx(1.0, abs=0.02)
    spectrum = audio[0].numpy()
    assert int(np.abs(np.fft.rfft(spectrum))[1:40].argmax()) + 1 in (14, 15, 16, 30)


def test_swapping_touches_spectra_only() -> None:
    codes = speech(3, 40)
    other = swapped(codes, near_codes(made_up_codebook()), seed=1)
    assert torch.equal(codes[:, :, :3], other[:, :, :3])
    share = float((codes[:, :, 3:] != other[:, :, 3:]).float().mean())
    assert 0.05 < share < 0.3
    assert torch.equal(other, swapped(codes, near_codes(made_up_codebook()), seed=1))


def test_the_loss_is_none_for_the_same_sound_and_grows_with_the_difference() -> None:
    audio = torch.from_numpy(sawtooth(120.0, 6))[None]
    assert float(spectral_loss(audio, audio)) == 0.0
    near, far = spectral_loss(audio * 0.9, audio), spectral_loss(audio * 0.1, audio)
    assert 0 < float(near) < float(far)


def test_a_stopped_training_goes_on_to_the_same_codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = made_up_corpus(tmp_path / "corpus")
    monkeypatch.setattr(codec_losses, "ENCODER_FRAMES", 4)
    base: dict[str, Any] = {"corpus_shards": 1, "held_out_sentences": 4, "batch": 2, "crop_frames": 4}
    settings = CodecSettings(decoder_steps=3, encoder_steps=1, **base)
    data = CodecData.read(corpus.corpus, corpus.codebook, settings)
    assert len(data.held_out) == 8
    through = train(data, corpus.codebook, settings, tmp_path / "through", lambda _: None)
    monkeypatch.setattr(codec_training, "SAVE_EACH_S", 0.0)
    monkeypatch.setattr(codec_training, "REPORT_EACH_STEPS", 1)

    def stop_at_the_second(line: str) -> None:
        if line.startswith("decoder 2 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(data, corpus.codebook, settings, tmp_path / "stopped", stop_at_the_second)
    assert finished(corpus.codebook, settings, tmp_path / "stopped") is None
    said: list[str] = []
    train(data, corpus.codebook, settings, tmp_path / "stopped", said.append)
    assert [line.split(":")[0] for line in said] == ["decoder 2 of 3", "decoder 3 of 3", "encoder 1 of 1"]
    resumed = torch.load(tmp_path / "stopped" / "decoder.pt", weights_only=True)["model"]
    for name, weight in through.decoder.state_dict().items():
        assert torch.equal(weight, resumed[name]), name


def sawtooth(hz: float, frames: int) -> npt.NDArray[np.float32]:
    place = np.arange(frames * SAMPLES_PER_FRAME) * hz / 24_000
    return (0.6 * (place % 1 - 0.5)).astype(np.float32)
