"""Peers of a stream that do as they are told, without a server."""

import threading

import numpy as np
import numpy.typing as npt

from orpheus_bls.feed import Child, Delta
from orpheus_bls.outlet import End
from orpheus_bls.pile import Pile
from orpheus_bls.report import FinishReason, Stats
from orpheus_bls.slots import Slot
from orpheus_core.checkpoint import Checkpoint, Decoder
from orpheus_core.errors import SpeechError
from orpheus_core.layout import SAMPLES_PER_FRAME
from orpheus_core.pcm import Pcm
from orpheus_core.prompt import code_tokens
from orpheus_core.request import SpeechRequest, parse_request
from orpheus_core.tokens import Frames
from orpheus_core.window import DecodeWindow, Window

REACH_SAMPLES = 2048
CHECKPOINT = Checkpoint(
    name="english",
    model="orpheus_llm",
    stop_token_ids=(2,),
    languages=("en",),
    voices={"en": ("tara",)},
    default_voice="tara",
    decoder=Decoder(receptive_field_samples=REACH_SAMPLES),
)
WAIT_S = 10.0


def request(text: str = "hello", *, probe: bool = False, trim: bool = False) -> SpeechRequest:
    """What the service makes of these inputs."""
    tensors = {"text": np.array([text.encode()], dtype=object), "trim_silence": np.array([trim])}
    return parse_request(tensors, (CHECKPOINT,), probe=probe)


def frames_of(count: int, *, first: int = 0) -> Frames:
    """Frames that differ from each other, [count, 7]."""
    return np.arange(first + 1, first + count + 1)[:, None] * np.arange(1, 8)


def audio_of(frames: Frames) -> npt.NDArray[np.float32]:
    """Every sample a function of its frame alone, [2048 * n]."""
    return np.repeat(frames[:, 0].astype(np.float32) / 1000, SAMPLES_PER_FRAME)


def decode(window: Window) -> npt.NDArray[np.float32]:
    """A decoder without reach."""
    return audio_of(window.codes)


class RecordingWire:
    """Keeps what was sent; complains about anything after the end."""

    def __init__(self) -> None:
        self.sent: list[Pcm] = []
        self.ends: list[End] = []
        self.cancelled = False
        self.broken = False
        self.ended = threading.Event()

    def audio(self, samples: Pcm) -> None:
        assert not self.ends
        self.sent.append(samples)

    def final(self, samples: Pcm, reason: FinishReason, stats: Stats) -> None:
        self.sent.append(samples)
        self._end(End(reason=reason, stats=stats))

    def error(self, error: SpeechError) -> None:
        self._end(End(error=error))

    def is_cancelled(self) -> bool:
        assert not self.ends
        return self.cancelled

    def samples(self) -> Pcm:
        """Everything, joined."""
        return np.concatenate(self.sent)

    def end(self) -> End:
        """The one end, waited for."""
        assert self.ended.wait(WAIT_S)
        (end,) = self.ends
        return end

    def _end(self, end: End) -> None:
        assert not self.ends
        self.ends.append(end)
        self.ended.set()
        if self.broken:
            raise RuntimeError("the pipe is gone")


class ScriptedChild:
    """A call of the language model that the test feeds."""

    def __init__(self) -> None:
        self._pile = Pile()
        self.ended = False
        self.asked = 0
        self.cancelled = threading.Event()

    def frames(self, frames: Frames, finish_reason: str | None = None) -> None:
        """A response with these frames."""
        self.text(code_tokens(frames), finish_reason)

    def text(self, text: str, finish_reason: str | None = None) -> None:
        """A response with this text."""
        self._pile.put(Delta(text, finish_reason))
        self.ended |= finish_reason is not None

    def fail(self, error: BaseException) -> None:
        """The call fails."""
        self.ended = True
        self._pile.end(error)  # type: ignore[arg-type]  # defects too

    def fetch(self, *, at_once: bool) -> Delta:
        self.asked += 1
        return self._pile.take(at_once=at_once)

    def cancel(self) -> None:
        self.cancelled.set()
        self._pile.end()


class FakeModels:
    """One scripted child for every stream, in their order."""

    def __init__(self, decoder: DecodeWindow = decode) -> None:
        self._decoder = decoder
        self.children: list[ScriptedChild] = []
        self.logged: list[str] = []

    def speak(self, _request: SpeechRequest, _slot: Slot) -> Child:
        self.children.append(ScriptedChild())
        return self.children[-1]

    def decoder(self, _request: SpeechRequest, _slot: Slot) -> DecodeWindow:
        return self._decoder

    def log(self, event: str) -> None:
        self.logged.append(event)


class CountingMetrics:
    """Counts what was told."""

    def __init__(self) -> None:
        self.live = 0
        self.refusals: list[SpeechError] = []
        self.ends: list[End] = []

    def begun(self) -> None:
        self.live += 1

    def refused(self, error: SpeechError) -> None:
        self.refusals.append(error)

    def ended(self, end: End) -> None:
        self.live -= 1
        self.ends.append(end)
