"""The simulated listener, in virtual time, and WAV files."""

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_client import Listener, WavWriter, write_wav
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm

pytestmark = pytest.mark.unit

TENTH = SAMPLE_RATE_HZ // 10


def loud(samples: int = TENTH) -> Pcm:
    return np.full(samples, 5000, dtype=np.int16)


def quiet(samples: int = TENTH) -> Pcm:
    return np.zeros(samples, dtype=np.int16)


def test_audio_in_time_does_not_stall() -> None:
    listener = Listener(buffer_ms=60)
    for index in range(10):
        listener.push(loud(), at_s=2 + index * 0.1 + (0.059 if index % 2 else 0))
    heard = listener.flush()
    assert (heard.first_audible_s, heard.stalls, heard.stalled_s) == (2, 0, 0)


def test_late_audio_stalls_for_as_long_as_it_is_late() -> None:
    listener = Listener(buffer_ms=50)
    listener.push(loud(), at_s=1)
    listener.push(loud(), at_s=1.25)  # played until 1.15
    listener.push(loud(), at_s=1.34)  # played until 1.35
    listener.push(loud(), at_s=1.5)  # played until 1.45
    heard = listener.flush()
    assert heard.stalls == 2
    assert heard.stalled_s == pytest.approx(0.1 + 0.05)


def test_the_quiet_opening_is_no_buffer() -> None:
    listener = Listener(buffer_ms=0)
    listener.push(quiet(), at_s=0)
    listener.push(np.concatenate((quiet(TENTH // 2), loud(TENTH // 2))), at_s=1)
    listener.push(loud(), at_s=1.06)
    heard = listener.flush()
    assert heard.first_audible_s == 1
    assert heard.stalls == 1
    assert heard.stalled_s == pytest.approx(0.01)


def test_silence_throughout_is_never_audible() -> None:
    listener = Listener(buffer_ms=60)
    listener.push(quiet(), at_s=0)
    heard = listener.flush()
    assert (heard.first_audible_s, heard.stalls) == (None, 0)


@given(st.lists(st.floats(0, 0.5), min_size=2, max_size=20), st.floats(0, 500))
def test_stalls_are_what_the_clock_says(gaps_s: list[float], buffer_ms: float) -> None:
    """The end of playing is the start, the buffer, all the audio, and the stalls: nothing else takes time."""
    listener = Listener(buffer_ms=buffer_ms)
    at_s = np.cumsum(gaps_s)
    ends_s = at_s[0] + buffer_ms / 1000
    for time_s in at_s:
        listener.push(loud(), at_s=float(time_s))
        ends_s = max(ends_s, float(time_s)) + 0.1
    heard = listener.flush()
    assert at_s[0] + buffer_ms / 1000 + len(gaps_s) * 0.1 + heard.stalled_s == pytest.approx(ends_s)


def test_a_wav_file_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = np.arange(-500, 500).astype(np.int16)
    write_wav(path, samples)
    with wave.open(str(path)) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (SAMPLE_RATE_HZ, 1, 2)
        assert np.array_equal(np.frombuffer(wav.readframes(1000), "<i2"), samples)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_was_not_finished_is_not_there_and_the_old_one_is(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def write_half() -> None:
        with WavWriter(path) as wav:
            wav.write(loud())
            assert path.read_bytes() == b"old"
            raise ValueError("interrupted")

    with pytest.raises(ValueError, match="interrupted"):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere"):
        write_wav(tmp_path / "nowhere" / "a.wav", loud())
