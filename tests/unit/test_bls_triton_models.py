"""Nested calls of the language model in both kinds: followed where Triton can cancel them, else fetched.

Only the second kind meets a real Triton in these tests (group `triton`): the one at hand cannot cancel an iterator.
"""

import importlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from orpheus_bls.feed import Delta
from orpheus_bls.slots import Slots
from orpheus_core.errors import EngineUnavailable, InternalFault, SpeechError
from orpheus_core.window import Window
from unit.bls_fakes import WAIT_S, request
from unit.fake_triton_utils import Call, Response, Responses, Tensor, Triton, TritonError, stub_module, written

pytestmark = pytest.mark.unit

MODULE = "orpheus_bls.triton_models"


@pytest.fixture
def triton() -> Triton:
    return Triton()


@pytest.fixture(params=[True, False], ids=["followed", "fetched"])
def can_cancel(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def models(triton: Triton, can_cancel: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's `TritonModels`, inside such a Triton."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", triton.module())
    monkeypatch.setitem(sys.modules, "c_python_backend_utils", stub_module(can_cancel=can_cancel))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    yield importlib.import_module(MODULE).TritonModels()
    sys.modules.pop(MODULE, None)


@pytest.fixture
def child(models: Any) -> Any:
    return models.speak(request("good morning"), Slots(1, 64).take(probe=False))


followed = pytest.mark.parametrize("can_cancel", [True], indirect=True, ids=["followed"])
fetched = pytest.mark.parametrize("can_cancel", [False], indirect=True, ids=["fetched"])


def everything(child: Any) -> str:
    """All text to the end of the call, whichever its kind."""
    text = ""
    while not (delta := child.fetch(at_once=False)).finish_reason:
        text += delta.text
    return str(text + delta.text)


def in_pieces(*pieces: Response) -> Any:
    """Answers of a model that gives these pieces: all to one call, or one to each."""
    waiting = list(pieces)

    def answer(call: Call) -> Responses:
        if "fetch" not in call.parameters:
            return Responses().put(*waiting, None)
        return Responses().put(waiting.pop(0), None)

    return answer


def test_the_prompt_is_sent_once_and_the_text_comes_whole(triton: Triton, child: Any, can_cancel: bool) -> None:
    triton.answer = in_pieces(written("a"), written("b"), written("c", "stop"))
    assert everything(child) == "abc"
    wait_until_ended(child)
    first, *later = triton.calls
    assert b"good morning" in first.inputs["text_input"]
    assert (first.inputs["stream"], first.inputs["exclude_input_in_output"]) == (True, True)
    assert {call.request_id for call in triton.calls} == {first.request_id}
    assert [call.inputs for call in later] == [{"text_input": b""}] * (0 if can_cancel else 2)


def test_an_error_is_told_by_its_kind_and_without_its_text(triton: Triton, child: Any, can_cancel: bool) -> None:
    failure = Response(error=TritonError("secret words")) if can_cancel else written("", "error:INTERNAL")
    triton.answer = in_pieces(written("so far"), failure)
    with pytest.raises(InternalFault, match=r"^orpheus_llm failed$"):
        everything(child)
    wait_until_ended(child)
    assert triton.logged == ["orpheus_tts: orpheus_llm failed with INTERNAL"]


@pytest.mark.parametrize("message", ["engine: dead", "Stub process 'x' is not healthy", "in flight, Server not ready"])
def test_a_model_that_is_down_is_unavailable(triton: Triton, child: Any, message: str) -> None:
    triton.answer = in_pieces(Response(error=TritonError(message)))
    with pytest.raises(EngineUnavailable, match="not available"):
        everything(child)
    wait_until_ended(child)


def test_an_end_without_a_reason_is_the_model_breaking_off(triton: Triton, child: Any) -> None:
    triton.answer = lambda _call: Responses().put(None)
    with pytest.raises(EngineUnavailable, match="broke off"):
        everything(child)
    wait_until_ended(child)


def test_a_model_that_cannot_be_called_is_unavailable(triton: Triton, models: Any, child: Any) -> None:
    def refused(_call: Call) -> None:
        raise sys.modules["triton_python_backend_utils"].TritonModelException("secret words")

    triton.answer = refused
    with pytest.raises(EngineUnavailable, match=r"^engine: orpheus_llm cannot be called$"):
        child.fetch(at_once=False)
    wait_until_ended(child)
    child.cancel()
    assert len(triton.calls) == 1


@followed
def test_what_is_followed_piles_up(triton: Triton, child: Any) -> None:
    responses = Responses()
    triton.answer = lambda _call: responses
    assert child.fetch(at_once=True) == Delta("", None)
    responses.put(written("a"), written("b"))
    assert child.fetch(at_once=False).text[:1] == "a"
    responses.put(written("c", "length"), None)
    wait_until_ended(child)
    assert child.fetch(at_once=True).finish_reason == "length"
    assert len(triton.calls) == 1


@followed
def test_a_call_is_cancelled_before_its_first_response_and_after(triton: Triton, child: Any) -> None:
    begun, responses = threading.Event(), Responses()

    def late(_call: Call) -> Responses:
        begun.wait(WAIT_S)
        return responses

    triton.answer = late
    child.fetch(at_once=True)
    child.cancel()
    assert not responses.cancelled.is_set()
    begun.set()
    assert responses.cancelled.wait(WAIT_S)
    wait_until_ended(child)
    responses.cancelled.clear()
    child.cancel()
    assert not responses.cancelled.is_set(), "it has ended"


@followed
def test_a_running_call_is_cancelled_at_once(triton: Triton, child: Any) -> None:
    responses = Responses().put(written("a"))
    triton.answer = lambda _call: responses
    assert child.fetch(at_once=False).text == "a"
    child.cancel()
    assert responses.cancelled.is_set()
    wait_until_ended(child)
    with pytest.raises(SpeechError):
        child.fetch(at_once=False)


@followed
def test_a_model_that_hears_no_cancel_keeps_nobody_waiting(triton: Triton, child: Any) -> None:
    responses = Responses().put(written("a"))
    triton.answer = lambda _call: responses
    assert child.fetch(at_once=False).text == "a"
    responses.cancel = lambda: None  # type: ignore[method-assign]
    child.cancel()
    with pytest.raises(EngineUnavailable, match="told to stop"):
        child.fetch(at_once=False)
    responses.put(None)
    wait_until_ended(child)


@fetched
def test_what_is_fetched_at_once_says_so_and_a_cancel_is_a_call(triton: Triton, child: Any) -> None:
    triton.answer = in_pieces(written("a"), written(""))
    assert child.fetch(at_once=False).text == "a"
    assert child.fetch(at_once=True) == Delta("", None)
    triton.answer = lambda _call: Responses().put(None)
    child.cancel()
    assert [call.parameters for call in triton.calls] == [
        {"fetch": True},
        {"fetch": True, "at_once": True},
        {"cancel": True},
    ]


@fetched
@pytest.mark.parametrize(("code", "kind"), [("UNAVAILABLE", EngineUnavailable), ("INVALID_ARG", InternalFault)])
def test_a_fetched_error_has_its_kind(triton: Triton, child: Any, code: str, kind: type[SpeechError]) -> None:
    triton.answer = in_pieces(written("", f"error:{code}"))
    with pytest.raises(kind):
        child.fetch(at_once=False)
    assert child.ended


def test_a_window_is_decoded_or_its_failure_told(triton: Triton, models: Any) -> None:
    decode = models.decoder(request(), Slots(1, 64).take(probe=False))
    window = Window(codes=np.zeros((2, 7), np.int64), valid=np.array([0, 2], np.int32))
    triton.answer = lambda _call: Response(Tensor("audio", np.ones((1, 4096), np.float32)))
    assert decode(window).shape == (4096,)
    triton.answer = lambda _call: Response(error=TritonError("secret words", "UNAVAILABLE"))
    with pytest.raises(EngineUnavailable, match=r"^engine: snac_decoder failed$"):
        decode(window)
    assert triton.logged == ["orpheus_tts: snac_decoder failed with UNAVAILABLE"]


def wait_until_ended(child: Any) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not child.ended and time.monotonic() < deadline_s:
        time.sleep(0.005)
    assert child.ended
