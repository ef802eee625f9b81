"""Encoders and the stretch: what is decoded again is what was spoken."""

import io
import itertools
import wave

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from orpheus_bridge.audio.formats import FORMATS, audio_format
from orpheus_bridge.audio.stretch import Stretch, stages
from orpheus_bridge.audio.wav import wav_file
from orpheus_bridge.errors import BadRequest
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from orpheus_core.pcm import Pcm

pytestmark = pytest.mark.unit

TONE_HZ = 440
LEVEL = 8000
LOSSLESS = ("flac", "wav", "pcm")


def tone(count: int, hz: float = TONE_HZ) -> Pcm:
    made: Pcm = np.rint(LEVEL * np.sin(2 * np.pi * hz * np.arange(count) / SAMPLE_RATE_HZ)).astype(np.int16)
    return made


def chunks(samples: Pcm, size: int = SAMPLES_PER_FRAME) -> list[Pcm]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def decoded(data: bytes, name: str) -> tuple[Pcm, int]:
    """Samples and their rate."""
    if name == "pcm":
        return np.frombuffer(data, "<i2"), SAMPLE_RATE_HZ
    if name == "wav":
        with wave.open(io.BytesIO(data)) as wav:
            return np.frombuffer(wav.readframes(wav.getnframes()), "<i2"), wav.getframerate()
    resampler = av.AudioResampler(format="s16", layout="mono")
    with av.open(io.BytesIO(data), "r") as file:
        frames = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), frames[0].sample_rate


def peak_hz(samples: Pcm, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * rate_hz / len(samples)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_decodes_to_what_was_spoken(name: str) -> None:
    spoken = tone(2 * SAMPLE_RATE_HZ + 77)
    encoder = audio_format(name).encoder()
    parts = [encoder.push(chunk) for chunk in chunks(spoken)]
    samples, rate_hz = decoded(b"".join([*parts, encoder.flush()]), name)
    if name in LOSSLESS:
        assert np.array_equal(samples, spoken)
        return
    assert peak_hz(samples, rate_hz) == pytest.approx(TONE_HZ, abs=1)
    heard_s = len(samples) / rate_hz
    assert 2.0 <= heard_s <= 2.1
    # The very end is there: the last 50 ms of the speech are as loud as its middle.
    ending = samples[int(1.95 * rate_hz) : int(2.0 * rate_hz)].astype(float)
    assert np.sqrt(np.mean(ending**2)) == pytest.approx(LEVEL / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("name", FORMATS)
def test_the_first_chunk_gives_bytes_and_every_later_one_too(name: str) -> None:
    encoder = audio_format(name).encoder()
    counts = [len(encoder.push(chunk)) for chunk in chunks(tone(20 * SAMPLES_PER_FRAME))]
    assert all(counts)


@pytest.mark.parametrize("name", FORMATS)
def test_no_samples_still_make_a_file(name: str) -> None:
    encoder = audio_format(name).encoder()
    data = encoder.push(tone(0)) + encoder.flush()
    assert bool(data) == (name not in ("pcm", "aac")), "those two have no header"


def test_a_streamed_wav_opens_in_libsndfile() -> None:
    encoder = audio_format("wav").encoder()
    spoken = tone(5000)
    data = b"".join([*map(encoder.push, chunks(spoken)), encoder.flush()])
    samples, rate_hz = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate_hz == SAMPLE_RATE_HZ
    assert np.array_equal(samples, spoken)


def test_a_whole_wav_tells_its_length() -> None:
    with wave.open(io.BytesIO(wav_file(tone(4321)))) as file:
        assert (file.getnframes(), file.getnchannels(), file.getsampwidth()) == (4321, 1, 2)


def test_an_unknown_format_lists_the_known() -> None:
    with pytest.raises(BadRequest, match=r"response_format: 'mp4': send one of mp3, opus"):
        audio_format("mp4")


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.8, 1.25, 2.0, 4.0])
def test_speed_changes_the_length_and_not_the_pitch(speed: float) -> None:
    spoken = tone(4 * SAMPLE_RATE_HZ)
    stretch = Stretch(speed)
    parts = [stretch.push(chunk) for chunk in chunks(spoken)]
    heard = np.concatenate([*parts, stretch.flush()])
    assert len(heard) == pytest.approx(len(spoken) / speed, rel=0.02)
    assert peak_hz(heard, SAMPLE_RATE_HZ) == pytest.approx(TONE_HZ, abs=2)
    first = next(index for index, part in enumerate(parts) if len(part))
    assert first <= 2, "the filter holds back more than two chunks"


def test_at_speed_one_nothing_is_touched() -> None:
    stretch = Stretch(1.0)
    spoken = tone(3000)
    assert stretch.push(spoken) is spoken
    assert len(stretch.flush()) == 0


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=8), st.sampled_from([0.5, 0.9, 1.5, 3.0]))
def test_the_stretch_does_not_depend_on_the_chunks(sizes: list[int], speed: float) -> None:
    spoken = tone(sum(sizes), hz=200)
    ends = list(itertools.accumulate(sizes))
    whole, parted = Stretch(speed), Stretch(speed)
    at_once = np.concatenate([whole.push(spoken), whole.flush()])
    parts = [parted.push(spoken[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    assert np.array_equal(np.concatenate([*parts, parted.flush()]), at_once)


@given(st.floats(0.25, 4.0))
def test_stages_multiply_to_the_speed(speed: float) -> None:
    factors = stages(speed)
    assert all(0.5 <= factor <= 2.0 for factor in factors)
    assert np.prod(factors) == pytest.approx(speed)


@pytest.mark.parametrize("speed", [0.24, 4.01, float("nan")])
def test_a_speed_that_cannot_be_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        Stretch(speed)
