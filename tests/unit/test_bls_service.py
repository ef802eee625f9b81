"""Admission, ends and settings of one instance."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orpheus_bls.canceller import Canceller
from orpheus_bls.outlet import Outlet
from orpheus_bls.service import Arrived, Service
from orpheus_bls.settings import Settings, read_settings
from orpheus_bls.slots import RESERVED_THREADS, Slot, Slots
from orpheus_bls.watchdog import INTERVAL_S, Watchdog
from orpheus_core.checkpoint import dump_checkpoints
from orpheus_core.errors import Cancelled, EngineUnavailable, Full, InvalidInput, SpeechError
from unit.bls_fakes import CHECKPOINT, WAIT_S, CountingMetrics, FakeModels, RecordingWire, ScriptedChild, frames_of

pytestmark = pytest.mark.unit


class Rig:
    """A service with its peers."""

    def __init__(self, *, max_streams: int = 2, pool_threads: int = 64) -> None:
        self.models = FakeModels()
        self.metrics = CountingMetrics()
        self.slots = Slots(max_streams, pool_threads)
        settings = Settings(checkpoints=(CHECKPOINT,), max_streams=max_streams)
        self.service = Service(settings, self.models, self.metrics, self.slots)

    def send(self, text: str = "hello", *, probe: bool = False) -> RecordingWire:
        wire = RecordingWire()
        tensors = {"text": np.array([text.encode()], dtype=object)}
        self.service.accept(Arrived(tensors, probe=probe), Outlet(wire))
        return wire

    def let_speak(self, index: int) -> None:
        self.models.children[index].frames(frames_of(4), "stop")


def test_a_stream_beyond_the_cap_is_refused_and_a_freed_slot_taken_again() -> None:
    rig = Rig(max_streams=2)
    first, _second, third = rig.send(), rig.send(), rig.send()
    assert str(third.end().error) == "full: all 2 streams are taken"
    assert rig.metrics.live == 2
    rig.let_speak(0)
    assert first.end().reason == "stop"
    settle(rig, live=1)
    assert not rig.send().ends
    assert [type(error) for error in rig.metrics.refusals] == [Full]


def test_a_probe_has_a_slot_of_its_own_that_counts_nowhere() -> None:
    rig = Rig(max_streams=1)
    rig.send()
    probe, second = rig.send(probe=True), rig.send(probe=True)
    assert str(second.end().error) == "full: a probe is speaking"
    rig.let_speak(1)
    assert probe.end().reason == "stop"
    deadline_s = time.monotonic() + WAIT_S
    while (third := rig.send(probe=True)).ends and time.monotonic() < deadline_s:
        time.sleep(0.005)
    assert not third.ends
    assert (rig.metrics.live, rig.metrics.refusals, rig.metrics.ends) == (1, [], [])


def test_bad_input_is_refused_without_a_slot() -> None:
    rig = Rig(max_streams=1)
    assert isinstance(rig.send("<custom_token_2>").end().error, InvalidInput)
    assert rig.slots.live == 0
    assert not rig.send().ends


def test_what_is_live_at_the_end_is_ended_and_nothing_new_let_in() -> None:
    rig = Rig()
    live = rig.send()
    rig.service.close()
    assert str(live.end().error) == "engine: the server is shutting down"
    assert isinstance(rig.send().end().error, EngineUnavailable)
    settle(rig, live=0)


@contextmanager
def waiting(*slots: Slot) -> Iterator[None]:
    """A call of each of them waits for its answer meanwhile."""
    made, answer = threading.Semaphore(0), threading.Event()

    def call() -> None:
        made.release()
        answer.wait(WAIT_S)

    threads = [threading.Thread(target=slot.call, args=(call,)) for slot in slots]
    for thread in threads:
        thread.start()
        assert made.acquire(timeout=WAIT_S)
    yield
    answer.set()
    for thread in threads:
        thread.join(WAIT_S)


def test_calls_that_outlive_their_streams_close_the_door_before_the_pool_is_full() -> None:
    slots = Slots(max_streams=20, pool_threads=RESERVED_THREADS + 6)
    stuck = [slots.take(probe=False) for _ in range(3)]
    with waiting(*stuck):
        for slot in stuck:
            slot.free()
        speaking = slots.take(probe=False)
        for probe in (False, True):
            with pytest.raises(EngineUnavailable, match="stalled"):
                slots.take(probe=probe)
        speaking.free()
        slots.take(probe=True).free()
    assert [slots.take(probe=False) for _ in range(3)]
    with pytest.raises(EngineUnavailable, match="stalled"):
        slots.take(probe=False)
    assert slots.live == 3


def test_calls_of_live_streams_are_counted_with_them() -> None:
    slots = Slots(max_streams=3, pool_threads=RESERVED_THREADS + 6)
    taken = [slots.take(probe=False) for _ in range(2)]
    with waiting(*taken, *taken):
        assert slots.take(probe=False)
    with pytest.raises(Full):
        slots.take(probe=False)


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("max_streams", "0", "give a number above 0"),
        ("max_streams", "many", "give a number"),
        ("token_gap_timeout_s", "nan", "give a number above 0"),
        ("total_timeout_s", "inf", "give a number above 0"),
        ("start_lead_frames", "-1", "give 0 or more"),
        ("crowded_lead_frames", "-2", "give 0 or more"),
        ("checkpoints", "[]", "render the repository again, a list of checkpoints was expected"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(name: str, value: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_settings(model_config(**{name: value}), Path())
    assert str(caught.value) == f"{name}: {value!r}: {fix}"


def test_a_repository_that_was_not_rendered_is_refused() -> None:
    with pytest.raises(InvalidInput, match="checkpoints: 'missing': render the repository"):
        read_settings("{}", Path())


def test_settings_are_read_and_the_rest_is_default() -> None:
    settings = read_settings(model_config(max_streams="7", decode_timeout_s="2.5", start_lead_frames="0"), Path())
    assert (settings.max_streams, settings.deadlines.decode_s, settings.start_lead_frames) == (7, 2.5, 0)
    assert settings.checkpoints == (CHECKPOINT,)
    assert settings.thread_pool_size == 32
    assert settings.lexicons == {}


def test_a_lexicon_lies_beside_the_model(tmp_path: Path) -> None:
    config = model_config(checkpoints=dump_checkpoints((replace(CHECKPOINT, lexicon="words.txt"),)))
    with pytest.raises(InvalidInput, match=r"lexicon: 'words.txt': render the repository with"):
        read_settings(config, tmp_path)
    (tmp_path / "words.txt").write_text("yes\tʏɛꜱ\n", encoding="utf-8")
    assert read_settings(config, tmp_path).lexicons[CHECKPOINT.name].written("yes!") == "ʏɛꜱ!"


def test_the_watchdog_forgets_what_has_ended_and_survives_a_failing_look() -> None:
    looks: list[str] = []

    class Look:
        def __init__(self, name: str, *, fails: bool = False) -> None:
            self._name, self._fails = name, fails

        def check(self, _now_s: float) -> bool:
            looks.append(self._name)
            if self._fails:
                raise RuntimeError("secret")
            return self._name != "ended"

        def fail(self, error: SpeechError) -> None:
            looks.append(f"{self._name}: {error}")

    logged: list[str] = []
    watchdog = Watchdog(logged.append)
    for look in (Look("ended"), Look("live"), Look("broken", fails=True)):
        watchdog.watch(look)
    deadline_s = time.monotonic() + WAIT_S
    while looks.count("live") < 3 and time.monotonic() < deadline_s:
        time.sleep(INTERVAL_S / 4)
    watchdog.stop(Cancelled("over"))
    assert looks.count("ended") == 1
    assert looks.count("broken") >= 2
    assert {"live: cancelled: over", "broken: cancelled: over"} <= set(looks)
    assert logged[0] == "a look at a stream failed: RuntimeError"


def test_cancels_that_hang_do_not_hold_up_the_next() -> None:
    free = threading.Event()

    class Hanging(ScriptedChild):
        def cancel(self) -> None:
            self.cancelled.set()
            free.wait(WAIT_S)

    class Failing(ScriptedChild):
        def cancel(self) -> None:
            raise RuntimeError("secret")

    logged: list[str] = []
    canceller = Canceller(logged.append)
    children: list[ScriptedChild] = [Failing(), *(Hanging() for _ in range(RESERVED_THREADS - 1)), ScriptedChild()]
    for child in children:
        canceller.cancel(child)
    assert children[-1].cancelled.wait(WAIT_S)
    assert logged == ["cancel failed: RuntimeError"]
    free.set()


def model_config(**parameters: str) -> str:
    values = {"checkpoints": dump_checkpoints((CHECKPOINT,)), **parameters}
    return json.dumps({"parameters": {name: {"string_value": value} for name, value in values.items()}})


def settle(rig: Rig, *, live: int) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while (rig.slots.live, rig.metrics.live) != (live, live) and time.monotonic() < deadline_s:
        time.sleep(0.005)
    assert (rig.slots.live, rig.metrics.live) == (live, live)


def test_a_slot_knows_how_many_speak() -> None:
    slots = Slots(10, 100)
    taken = [slots.take(probe=False) for _ in range(4)]
    assert [slot.live for slot in taken] == [1, 2, 3, 4]
    for slot in taken:
        slot.free()
    assert slots.take(probe=False).live == 1
