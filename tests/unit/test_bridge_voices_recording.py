"""Uploads in every accepted format, and those that must not pass: each is decoded in a real child process."""

import asyncio
import io
import struct
import wave
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from orpheus_bridge.errors import BadRequest, Busy, Late, TooLarge
from orpheus_bridge.voices import recording
from orpheus_bridge.voices.child import ChildFailed, ChildLimits, run_child
from orpheus_bridge.voices.options import UploadOptions
from orpheus_bridge.voices.recording import KEPT_SAMPLES, Recording, RecordingReader, audible_s
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

pytestmark = pytest.mark.unit

TONE_HZ = 440.0
LEVEL = 0.3


def tone(seconds: float, rate_hz: int, channels: int = 1) -> npt.NDArray[np.float32]:
    """[samples, channels]"""
    samples = LEVEL * np.sin(2 * np.pi * TONE_HZ * np.arange(round(seconds * rate_hz)) / rate_hz)
    return np.repeat(samples[:, None], channels, axis=1).astype(np.float32)


def by_soundfile(seconds: float, rate_hz: int, kind: str, subtype: str | None = None, channels: int = 1) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(seconds, rate_hz, channels), rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


def m4a(seconds: float, rate_hz: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(seconds, rate_hz).T.copy(), format="fltp", layout="mono")
        frame.sample_rate = rate_hz
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return file.getvalue()


def read(data: bytes, options: UploadOptions | None = None) -> Recording:
    return asyncio.run(RecordingReader(options or UploadOptions()).read(data))


def forged_wav(data: bytes, *, rate_hz: int) -> bytes:
    """The same samples under another sample rate."""
    return data[:24] + struct.pack("<II", rate_hz, 2 * rate_hz) + data[32:]


@pytest.mark.parametrize(
    ("data", "margin_s"),
    [
        pytest.param(by_soundfile(2, 44_100, "WAV", channels=2), 0.001, id="wav stereo"),
        pytest.param(by_soundfile(2, 48_000, "WAV", "FLOAT"), 0.001, id="wav float"),
        pytest.param(by_soundfile(2, 8_000, "WAV", "ULAW"), 0.001, id="wav ulaw"),
        pytest.param(by_soundfile(2, 16_000, "FLAC"), 0.001, id="flac"),
        pytest.param(by_soundfile(2, 48_000, "OGG", "OPUS"), 0.05, id="ogg opus"),
        pytest.param(by_soundfile(2, 32_000, "OGG", "VORBIS"), 0.05, id="ogg vorbis"),
        pytest.param(by_soundfile(2, 22_050, "MP3"), 0.1, id="mp3"),
        pytest.param(m4a(2, 44_100), 0.1, id="m4a"),
    ],
)
def test_every_format_becomes_the_same_sound(data: bytes, margin_s: float) -> None:
    heard = read(data)
    assert len(heard.samples) / SAMPLE_RATE_HZ == pytest.approx(2, abs=margin_s)
    assert heard.source_s == pytest.approx(2, abs=margin_s)
    assert not heard.is_trimmed
    middle = heard.samples[SAMPLE_RATE_HZ // 2 : SAMPLE_RATE_HZ * 3 // 2].astype(np.float64) / 32767
    spectrum = np.abs(np.fft.rfft(middle))
    assert np.argmax(spectrum) == pytest.approx(TONE_HZ, abs=1)
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(LEVEL, rel=0.05)


def test_what_is_longer_than_a_reference_is_trimmed_to_whole_frames() -> None:
    data = by_soundfile(40, 24_000, "WAV")
    heard = read(data)
    assert len(heard.samples) == KEPT_SAMPLES
    assert KEPT_SAMPLES % SAMPLES_PER_FRAME == 0
    assert 29.9 < KEPT_SAMPLES / SAMPLE_RATE_HZ <= 30
    assert heard.is_trimmed
    assert heard.source_s == pytest.approx(40)
    with wave.open(io.BytesIO(heard.wav())) as wav:
        assert wav.getparams()[:4] == (1, 2, SAMPLE_RATE_HZ, KEPT_SAMPLES)
        np.testing.assert_array_equal(np.frombuffer(wav.readframes(KEPT_SAMPLES), "<i2"), heard.samples)
    # At the same rate nothing is touched.
    sent = soundfile.read(io.BytesIO(data), dtype="int16")[0]
    np.testing.assert_array_equal(heard.samples, sent[:KEPT_SAMPLES])


SHORT = UploadOptions(max_source_s=5, max_source_samples=5 * 48_000)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "is not WAV, FLAC, OGG, MP3 or M4A", id="nothing"),
        pytest.param(b"#EXTM3U\nfile:///etc/passwd\n", "is not WAV, FLAC, OGG, MP3 or M4A", id="playlist"),
        pytest.param(b"RIFF\0\0\0\0WAVEfmt ", "is damaged|holds no audio", id="header only"),
        pytest.param(b"OggS" + bytes(1000), "is damaged|holds no audio", id="zeros"),
        pytest.param(by_soundfile(0.5, 24_000, "WAV"), "is 0.5 s long, at least 1 s are needed", id="short"),
        pytest.param(by_soundfile(2, 24_000, "FLAC")[:200], "damaged|0.0 s long|holds no audio", id="cut"),
        pytest.param(by_soundfile(6, 24_000, "FLAC"), "is longer than 5 s", id="long"),
        pytest.param(by_soundfile(3, 48_000, "WAV", channels=2), "has more than 240000 samples", id="many samples"),
        pytest.param(
            forged_wav(by_soundfile(20, 24_000, "WAV"), rate_hz=192_000), "has more than 240000 samples", id="forged"
        ),
        pytest.param(
            forged_wav(by_soundfile(2, 24_000, "WAV"), rate_hz=4_000_000), "sample rate of 4000000 Hz", id="absurd rate"
        ),
        pytest.param(forged_wav(by_soundfile(2, 24_000, "WAV"), rate_hz=1), "sample rate of 1 Hz", id="rate of one"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=rf"^file: .*({reason})") as caught:
        read(data, SHORT)
    assert caught.value.param == "file"


@pytest.mark.parametrize(("claimed_bytes", "heard_s"), [(72_000, 1.5), (2**32 - 1, 6)])
def test_what_counts_is_what_comes_out_and_not_what_the_header_says(claimed_bytes: int, heard_s: float) -> None:
    data = by_soundfile(6, 24_000, "WAV")
    heard = read(data[:40] + struct.pack("<I", claimed_bytes) + data[44:])
    assert heard.source_s == pytest.approx(heard_s)
    assert len(heard.samples) == heard_s * SAMPLE_RATE_HZ


@pytest.mark.parametrize("quiet", [0.0, 0.0005])
def test_silence_is_refused(quiet: float) -> None:
    samples = np.full(48_000, 0.25, np.float32) + quiet * np.sin(np.arange(48_000)).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, samples, 24_000, format="WAV")
    with pytest.raises(BadRequest, match=r"^file: is silent but for 0\.0 s, at least 0\.5 s must be heard"):
        read(file.getvalue())


def test_audible_seconds_are_those_with_sound() -> None:
    sound = np.concatenate([np.zeros(24_000), 5000 * np.sin(np.arange(12_000))]).astype(np.int16)
    assert audible_s(sound) == pytest.approx(0.5, abs=0.02)


def test_too_many_bytes_are_not_even_looked_at() -> None:
    with pytest.raises(TooLarge, match=r"^file: 11 bytes: send at most 10"):
        read(bytes(11), UploadOptions(max_bytes=10))


def test_a_decoder_that_wants_too_much_memory_or_time_is_ended() -> None:
    data = by_soundfile(2, 24_000, "WAV")
    with pytest.raises(BadRequest, match=r"within the limits of time and memory|too much memory"):
        read(data, replace(UploadOptions(), memory_bytes=1))
    with pytest.raises(Late):
        read(data, replace(UploadOptions(), wall_s=0.001))


BUSY_SCRIPT = """
from orpheus_bridge.voices._child_limits import restricted
restricted()
while True:
    pass
"""
CHATTY_SCRIPT = "import sys\nwhile True:\n    sys.stdout.buffer.write(bytes(1000))\n"


def child(tmp_path: Path, source: str, request: dict[str, object], cpu_s: int = 1) -> None:
    script = tmp_path / "script.py"
    script.write_text(source)
    limits = ChildLimits(wall_s=20, cpu_s=cpu_s, memory_bytes=1 << 30, max_answer_bytes=10_000)
    asyncio.run(run_child(script, request, bytes(1 << 20), limits))


def test_the_kernel_ends_a_child_that_computes_for_ever(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"SIGKILL|SIGXCPU"):
        child(tmp_path, BUSY_SCRIPT, {})


def test_a_child_that_talks_for_ever_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match="longer than 10000 bytes"):
        child(tmp_path, CHATTY_SCRIPT, {})


def test_recordings_wait_for_their_turn_and_some_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        reader = RecordingReader(UploadOptions(processes=1, waiting=2))
        go = asyncio.Event()
        running = 0
        most = 0

        async def slow(*_: object) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await go.wait()
            running -= 1
            raise ChildFailed

        monkeypatch.setattr(recording, "run_child", slow)
        waiting = [asyncio.create_task(reader.read(b"x")) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await reader.read(b"x")
        waiting[1].cancel()
        go.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [BadRequest, asyncio.CancelledError, BadRequest]
        assert most == 1
        with pytest.raises(BadRequest):
            await reader.read(b"x")

    asyncio.run(main())
