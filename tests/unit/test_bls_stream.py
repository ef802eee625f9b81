"""One stream with its thread, between a scripted language model and a wire that keeps everything."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from orpheus_bls.feed import Child
from orpheus_bls.outlet import Outlet
from orpheus_bls.settings import Deadlines, Settings
from orpheus_bls.slots import Slots
from orpheus_bls.stream import Stream
from orpheus_core.errors import Cancelled, EngineUnavailable, InternalFault
from orpheus_core.layout import SAMPLES_PER_FRAME
from orpheus_core.pcm import to_pcm
from orpheus_core.window import DecodeWindow, Window
from unit.bls_fakes import (
    CHECKPOINT,
    WAIT_S,
    FakeModels,
    RecordingWire,
    ScriptedChild,
    audio_of,
    decode,
    frames_of,
    request,
)

pytestmark = pytest.mark.unit

TEXT = "a sentence whose budget is longer than what counts as a loop"
DEADLINES = Deadlines(first_token_s=2, token_gap_s=1, total_s=9)


class Rig:
    """A started stream and everything around it."""

    def __init__(self, decoder: DecodeWindow = decode, *, trim: bool = False, deadlines: Deadlines = DEADLINES) -> None:
        self.wire = RecordingWire()
        self.models = FakeModels(decoder)
        self.ends = 0
        settings = Settings(checkpoints=(CHECKPOINT,), deadlines=deadlines)
        slot = Slots(1, 64).take(probe=False)
        asked, outlet = request(TEXT, trim=trim), Outlet(self.wire)
        self.stream = Stream(asked, outlet, slot, self.models, settings, cancel=self.cancel, on_end=self.ended)
        self.started_s = time.monotonic()
        self.stream.start()

    @property
    def child(self) -> ScriptedChild:
        return self.models.children[0]

    def cancel(self, child: Child) -> None:
        threading.Thread(target=child.cancel).start()

    def ended(self, *_: object) -> None:
        self.ends += 1


def test_speech_comes_whole_and_ends_once() -> None:
    rig = Rig()
    spoken = frames_of(30)
    for frame in spoken:
        rig.child.frames(frame[None])
    rig.child.text("", "stop")
    end = rig.wire.end()
    np.testing.assert_array_equal(rig.wire.samples(), to_pcm(audio_of(spoken)))
    assert end.reason == "stop"
    assert end.stats is not None
    assert (end.stats.frames, end.stats.dropped_tokens, end.stats.generated_s) == (30, 0, 2.56)
    assert end.stats.first_audio_ms is not None
    assert rig.ends == 1
    assert not rig.child.cancelled.is_set()


def test_the_budget_ends_a_speech_as_length() -> None:
    rig = Rig()
    rig.child.frames(frames_of(4), "length")
    assert rig.wire.end().reason == "length"
    assert len(rig.wire.samples()) == 4 * SAMPLES_PER_FRAME


def test_frames_beyond_the_budget_are_not_spoken() -> None:
    rig = Rig()
    most = request(TEXT).generation.max_frames
    rig.child.frames(frames_of(most + 5), "stop")
    rig.wire.end()
    assert len(rig.wire.samples()) == most * SAMPLES_PER_FRAME


def test_a_loop_is_cut_and_its_call_cancelled() -> None:
    rig = Rig()
    for _ in range(CHECKPOINT.loop.min_span_frames + 20):
        rig.child.frames(frames_of(1))
    assert rig.wire.end().reason == "loop"
    assert rig.child.cancelled.wait(WAIT_S)
    assert len(rig.wire.samples()) == CHECKPOINT.loop.min_span_frames * SAMPLES_PER_FRAME


@pytest.mark.parametrize("text", ["", "some words", "<custom_token_10><custom_token_4106>"])
def test_a_model_without_a_whole_frame_produced_no_speech(text: str) -> None:
    rig = Rig()
    rig.child.text(text, "stop")
    assert str(rig.wire.end().error) == "the model produced no speech"
    assert rig.wire.sent == []


def test_silence_throughout_ends_as_speech_without_samples() -> None:
    rig = Rig(lambda window: np.zeros(len(window.codes) * SAMPLES_PER_FRAME, dtype=np.float32), trim=True)
    rig.child.frames(frames_of(5), "stop")
    end = rig.wire.end()
    assert end.reason == "stop"
    assert end.stats is not None
    assert end.stats.first_audible_ms is None
    assert len(rig.wire.samples()) == 0


def test_a_failing_model_ends_the_stream_with_its_error() -> None:
    rig = Rig()
    rig.child.frames(frames_of(8))
    rig.child.fail(EngineUnavailable("gone"))
    assert str(rig.wire.end().error) == "engine: gone"


def test_a_defect_of_ours_is_told_without_its_text() -> None:
    rig = Rig()
    rig.child.fail(ValueError("secret words"))
    error = rig.wire.end().error
    assert isinstance(error, InternalFault)
    assert "secret" not in str(error) + str(rig.models.logged)
    assert "ValueError" in rig.models.logged[0]


def test_a_failing_decoder_ends_the_stream_and_the_call() -> None:
    def broken(_window: Window) -> npt.NDArray[np.float32]:
        raise EngineUnavailable("snac_decoder failed")

    rig = Rig(broken)
    rig.child.frames(frames_of(8))
    assert str(rig.wire.end().error) == "engine: snac_decoder failed"
    assert rig.child.cancelled.wait(WAIT_S)


@pytest.mark.parametrize(
    ("after_s", "frames", "message"),
    [
        (2.0, 0, "engine: stalled, the first token did not come within 2 s"),
        (1.0, 8, "engine: stalled, the next token did not come within 1 s"),
    ],
)
def test_what_is_late_is_ended(after_s: float, frames: int, message: str) -> None:
    rig = Rig()
    if frames:
        rig.child.frames(frames_of(frames))
        wait_until(lambda: bool(rig.wire.sent))
    assert rig.stream.check(rig.started_s + after_s - 0.1)
    assert not rig.stream.check(time.monotonic() + after_s)
    assert str(rig.wire.end().error) == message
    assert rig.child.cancelled.wait(WAIT_S)
    assert rig.ends == 1


@pytest.mark.parametrize(("decode_s", "late"), [(4.0, "decoded audio"), (30.0, "the end of the speech")])
def test_a_decoder_that_hangs_is_ended_from_outside(decode_s: float, late: str) -> None:
    free, begun = threading.Event(), threading.Event()

    def hanging(window: Window) -> npt.NDArray[np.float32]:
        begun.set()
        free.wait(WAIT_S)
        return decode(window)

    rig = Rig(hanging, deadlines=replace(DEADLINES, decode_s=decode_s))
    rig.child.frames(frames_of(8), "stop")
    assert begun.wait(WAIT_S)
    limit_s = min(decode_s, DEADLINES.total_s)
    assert rig.stream.check(rig.started_s + limit_s - 0.1)
    assert not rig.stream.check(time.monotonic() + limit_s)
    free.set()
    assert str(rig.wire.end().error) == f"engine: stalled, {late} did not come within {limit_s:g} s"
    assert rig.wire.sent == []


def test_time_that_decodes_take_is_not_the_language_models() -> None:
    slow = threading.Event()

    def slowly(window: Window) -> npt.NDArray[np.float32]:
        slow.wait(0.4)
        return decode(window)

    rig = Rig(slowly, deadlines=replace(DEADLINES, token_gap_s=0.3))
    rig.child.frames(frames_of(8))
    wait_until(lambda: bool(rig.wire.sent))
    assert rig.stream.check(time.monotonic())
    wait_until(lambda: not rig.stream.check(time.monotonic()))
    assert str(rig.wire.end().error) == "engine: stalled, the next token did not come within 0.3 s"


def test_a_language_model_is_left_alone_while_the_listener_has_enough() -> None:
    rig = Rig()
    rig.child.frames(frames_of(20))
    wait_until(lambda: bool(rig.wire.sent))
    for number in range(20, 60):
        rig.child.frames(frames_of(1, first=number))
        time.sleep(0.02)
    assert rig.child.asked <= 8
    rig.child.text("", "stop")
    assert rig.wire.end().reason == "stop"
    np.testing.assert_array_equal(rig.wire.samples(), to_pcm(audio_of(frames_of(60))))


def test_a_language_model_is_asked_between_long_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orpheus_bls.speaker.STALE_S", 0.1)
    asked_before: list[int] = []

    def slowly(window: Window) -> npt.NDArray[np.float32]:
        asked_before.append(rig.child.asked)
        time.sleep(0.15)
        return decode(window)

    rig = Rig(slowly)
    # More than two of the largest windows hold.
    rig.child.frames(frames_of(request(TEXT).generation.max_frames - 1))
    wait_until(lambda: len(asked_before) >= 2)
    rig.child.text("", "stop")
    assert rig.wire.end().reason == "stop"
    assert asked_before[1] > asked_before[0]


def test_a_loop_is_told_to_the_language_model_before_what_is_left_is_decoded() -> None:
    free = threading.Event()

    def waiting(window: Window) -> npt.NDArray[np.float32]:
        free.wait(WAIT_S)
        return decode(window)

    rig = Rig(waiting)
    rig.child.frames(np.repeat(frames_of(1), CHECKPOINT.loop.min_span_frames + 20, axis=0))
    assert rig.child.cancelled.wait(WAIT_S)
    assert not rig.wire.sent
    free.set()
    assert rig.wire.end().reason == "loop"


def test_a_caller_that_has_gone_ends_the_stream_and_the_call() -> None:
    rig = Rig()
    rig.child.frames(frames_of(8))
    assert rig.stream.check(time.monotonic())
    rig.wire.cancelled = True
    wait_until(lambda: not rig.stream.check(time.monotonic()))
    assert isinstance(rig.wire.end().error, Cancelled)
    assert rig.child.cancelled.wait(WAIT_S)


def test_an_end_that_cannot_be_told_still_frees_the_stream() -> None:
    rig = Rig()
    rig.wire.broken = True
    rig.child.frames(frames_of(8), "stop")
    wait_until(lambda: rig.ends == 1)


def wait_until(condition: Callable[[], bool], *, at_most_s: float = WAIT_S) -> None:
    deadline_s = time.monotonic() + at_most_s
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.005)
