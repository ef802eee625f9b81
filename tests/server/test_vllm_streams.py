"""Live requests on a real vLLM engine. What the engine holds is counted by vLLM's own statistics of each step."""

import gc
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_backend.cores import bound_threads
from llm_backend.courier import Courier
from llm_backend.errors import Cancelled, EngineDown, InvalidInput
from llm_backend.fake import RecordedAnswer
from llm_backend.jobs import Job
from llm_backend.request import Generation
from llm_backend.streams import Streams

pytestmark = pytest.mark.server

TESTS = Path(__file__).resolve().parents[1]
SEATS = 2
LONGEST = 1024
WAIT_S = 60.0
MAX_STEPS = 2
"""That the engine may still make with a request that was cancelled."""


class Steps:
    """Running and waiting requests of each engine step, from vLLM."""

    def __init__(self) -> None:
        self.counts: list[tuple[int, int]] = []

    def record(self, scheduler_stats: Any, *_: object, **__: object) -> None:
        if scheduler_stats is not None:
            self.counts.append((scheduler_stats.num_running_reqs, scheduler_stats.num_waiting_reqs))

    def log_engine_initialized(self) -> None: ...

    def until(self, counts: tuple[int, int], since: int) -> int:
        """Steps until these counts, the one with them included."""
        wait_until(lambda: counts in self.counts[since:])
        return self.counts.index(counts, since) - since + 1


class Rig:
    """An engine with its streams."""

    def __init__(self, folder: str) -> None:
        arguments = {
            "model": folder, "dtype": "float32", "max_model_len": LONGEST, "max_num_seqs": SEATS, "enforce_eager": True,
            "kv_cache_memory_bytes": 128 << 20, "generation_config": "vllm",
        }  # fmt: skip
        # Imported late: it takes seconds, which the collection of other tests should not.
        from llm_backend.engine import Engine  # noqa: PLC0415

        self.steps = Steps()
        self.courier = Courier()
        self.engine = Engine(arguments, [lambda *_: self.steps])
        self.engine.start()
        self.streams = Streams(self.engine, self.courier, response_tokens=7)
        self.engine.run(self.streams.watch())

    def start(
        self, *, name: str = "", prompt: str = "hello", tokens: int = LONGEST, **sampling: object
    ) -> RecordedAnswer:
        settings = {"max_tokens": tokens, "ignore_eos": True, "seed": 1, "skip_special_tokens": False, **sampling}
        answer = RecordedAnswer()
        generation = Generation(prompt=prompt, is_streamed=True, sampling=settings)
        self.engine.run(self.streams.serve(Job(request_id=name, generation=generation, answer=answer)))
        return answer

    def cancel(self, name: str) -> tuple[RecordedAnswer, int]:
        """The call's answer, and the number of the engine step after which it was made."""
        answer = RecordedAnswer()

        async def cancel() -> int:
            step = len(self.steps.counts)
            await self.streams.cancel(name, answer)
            return step

        return answer, self.engine.run(cancel()).result(WAIT_S)

    def close(self) -> None:
        self.engine.run(self.streams.close()).result(WAIT_S)
        assert self.courier.close(WAIT_S)
        assert self.engine.stop(WAIT_S)
        # What vLLM leaves to the collector complains while it goes.
        gc.collect()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("checkpoint")
    with warnings.catch_warnings():
        # What vLLM brings in is not warning-free.
        warnings.simplefilter("ignore")
        from server.vllm_checkpoint import build  # noqa: PLC0415  (as below)

        bound_threads(os.environ, 2)
        # Large enough that a step takes longer than its report.
        build(folder, layers=8, hidden=384)
        with pytest.MonkeyPatch.context() as patch:
            # vLLM's processes inherit the search path, and tests/triton would pass for the compiler of that name.
            patch.setattr(sys, "path", [entry for entry in sys.path if Path(entry).resolve() != TESTS])
            rig = Rig(str(folder))
        yield rig
        rig.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def finished(*answers: RecordedAnswer) -> None:
    """Every one ends, exactly once."""
    assert all(answer.over.wait(WAIT_S) for answer in answers)
    assert [answer.ends for answer in answers] == [1] * len(answers)


def first_text(answer: RecordedAnswer) -> None:
    wait_until(lambda: bool(answer.deltas))


def test_groups_and_the_whole_are_the_same(rig: Rig) -> None:
    answer = rig.start(tokens=40, logprobs=1)
    finished(answer)
    assert answer.errors == []
    assert sum(delta.tokens for delta in answer.deltas) == 40
    assert all(delta.tokens >= 7 for delta in answer.deltas[:-1])
    assert [delta.finish_reason for delta in answer.deltas] == [None] * (len(answer.deltas) - 1) + ["length"]
    assert sum(len(delta.logprobs or ()) for delta in answer.deltas) == 40
    again = rig.start(tokens=40)
    finished(again)
    assert again.text == answer.text


@pytest.mark.parametrize(
    ("prompt", "sampling", "message"),
    [
        ("x" * LONGEST, {}, f"text_input: {LONGEST + 1} tokens"),
        ("x", {"stop_token_ids": [10_000]}, r"sampling_parameters\.stop_token_ids: 10000: "),
        ("x", {"min_tokens": 5, "tokens": 4}, "sampling_parameters: min_tokens must be"),
        ("x", {"allowed_token_ids": []}, "request: "),
    ],
)
def test_what_the_model_cannot_do_is_told(rig: Rig, prompt: str, sampling: dict[str, Any], message: str) -> None:
    answer = rig.start(prompt=prompt, **sampling)
    finished(answer)
    with pytest.raises(InvalidInput, match=f"^{message}"):
        raise answer.errors[0]


def test_a_running_request_is_gone_within_two_steps(rig: Rig) -> None:
    kept, victim = rig.start(), rig.start(name="victim")
    first_text(kept)
    first_text(victim)
    call, step = rig.cancel("victim")
    finished(victim, call)
    assert isinstance(victim.errors[0], Cancelled)
    assert (call.errors, call.deltas) == ([], [])
    assert rig.steps.until((1, 0), step) <= MAX_STEPS
    kept.is_gone = True
    finished(kept)


def test_a_queued_request_is_gone_within_two_steps(rig: Rig) -> None:
    seated = [rig.start() for _ in range(SEATS)]
    for answer in seated:
        first_text(answer)
    victim, other = rig.start(name="victim"), rig.start(tokens=3)
    rig.steps.until((SEATS, 2), len(rig.steps.counts))
    call, step = rig.cancel("victim")
    finished(victim, call)
    assert isinstance(victim.errors[0], Cancelled)
    assert rig.steps.until((SEATS, 1), step) <= MAX_STEPS
    seated[0].is_gone = True
    finished(seated[0], other)
    assert other.deltas[-1].finish_reason == "length"
    seated[1].is_gone = True
    finished(seated[1])


def test_a_caller_that_left_is_noticed_while_nothing_is_produced(rig: Rig) -> None:
    seated = [rig.start() for _ in range(SEATS)]
    for answer in seated:
        first_text(answer)
    queued = rig.start()
    rig.steps.until((SEATS, 1), len(rig.steps.counts))
    left_s = time.monotonic()
    queued.is_gone = True
    finished(queued)
    assert time.monotonic() - left_s < 1
    assert isinstance(queued.errors[0], Cancelled)
    assert queued.deltas == []
    assert rig.steps.until((SEATS, 0), len(rig.steps.counts)) >= 1
    for answer in seated:
        answer.is_gone = True
    finished(*seated)


def test_every_request_of_an_id_ends_and_no_other(rig: Rig) -> None:
    same, other = [rig.start(name="same") for _ in range(3)], rig.start(name="other", tokens=30)
    rig.steps.until((SEATS, 2), len(rig.steps.counts))
    call, _ = rig.cancel("same")
    finished(call, other, *same)
    assert all(isinstance(answer.errors[0], Cancelled) for answer in same)
    assert other.errors == []


def test_a_cancel_that_comes_first_is_kept_for_one_request(rig: Rig) -> None:
    call, _ = rig.cancel("early")
    late, next_one = rig.start(name="early"), rig.start(name="early", tokens=3)
    finished(call, late, next_one)
    assert isinstance(late.errors[0], Cancelled)
    assert next_one.errors == []


def test_requests_cancelled_at_any_moment_leave_nothing_behind(rig: Rig) -> None:
    kept = rig.start()
    first_text(kept)
    victims = []
    for pause_ms in range(0, 60, 3):
        victims.append(rig.start(name=f"victim {pause_ms}"))
        time.sleep(pause_ms / 1000)
        finished(rig.cancel(f"victim {pause_ms}")[0])
    finished(*victims)
    assert rig.steps.until((1, 0), len(rig.steps.counts)) <= MAX_STEPS
    kept.is_gone = True
    finished(kept)
    assert rig.streams.live == 0


def test_a_dead_engine_ends_all_and_refuses_at_once(rig: Rig) -> None:
    answers = [rig.start() for _ in range(SEATS + 1)]
    first_text(answers[0])
    for process in multiprocessing.active_children():
        process.kill()
    finished(*answers)
    assert all(isinstance(answer.errors[0], EngineDown) for answer in answers)
    assert not rig.engine.is_alive
    late = rig.start()
    assert late.over.wait(1)
    assert isinstance(late.errors[0], EngineDown)
