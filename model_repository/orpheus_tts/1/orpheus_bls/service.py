"""One instance of `orpheus_tts`: lets streams in, counts them, ends them at last."""

from dataclasses import dataclass
from typing import Protocol

from orpheus_bls.canceller import Canceller
from orpheus_bls.outlet import End, Outlet
from orpheus_bls.settings import Settings
from orpheus_bls.slots import Slot, Slots
from orpheus_bls.stream import Models, Stream
from orpheus_bls.watchdog import Watchdog
from orpheus_core.errors import EngineUnavailable, InternalFault, SpeechError
from orpheus_core.request import SpeechRequest, Tensors, parse_request


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request as it came."""

    tensors: Tensors
    probe: bool


class Metrics(Protocol):
    """What is counted; probes are not."""

    def begun(self) -> None:
        """A stream was let in."""

    def refused(self, error: SpeechError) -> None:
        """A request was not."""

    def ended(self, end: End) -> None:
        """A stream that was let in has ended."""


class Service:
    """Every request ends through its outlet, exactly once, whatever happens."""

    def __init__(self, settings: Settings, models: Models, metrics: Metrics, slots: Slots) -> None:
        self._settings = settings
        self._models = models
        self._metrics = metrics
        self._slots = slots
        self._canceller = Canceller(models.log)
        self._watchdog = Watchdog(models.log)
        self._closed = False

    def accept(self, arrived: Arrived, outlet: Outlet) -> None:
        """Starts a stream or refuses it; returns at once."""
        try:
            request, slot = self._admitted(arrived)
        except SpeechError as error:
            self._refuse(error, outlet, probe=arrived.probe)
            return
        except Exception as error:  # a defect of ours must not cost the caller his answer
            self._models.log(f"request failed: {type(error).__name__}")
            outlet.fail(InternalFault("the request could not be read"))
            return
        if not arrived.probe:
            self._metrics.begun()
        self._start(request, outlet, slot)

    def close(self) -> None:
        """No new streams, and an end to those that are left."""
        self._closed = True
        self._watchdog.stop(EngineUnavailable("the server is shutting down"))

    def _admitted(self, arrived: Arrived) -> tuple[SpeechRequest, Slot]:
        if self._closed:
            raise EngineUnavailable("the server is shutting down")
        request = parse_request(
            arrived.tensors, self._settings.checkpoints, self._settings.lexicons, probe=arrived.probe
        )
        return request, self._slots.take(probe=arrived.probe)

    def _refuse(self, error: SpeechError, outlet: Outlet, *, probe: bool) -> None:
        if not probe:
            self._metrics.refused(error)
        outlet.fail(error)

    def _start(self, request: SpeechRequest, outlet: Outlet, slot: Slot) -> None:
        def ended(end: End) -> None:
            slot.free()
            if not request.probe:
                self._metrics.ended(end)

        cancel = self._canceller.cancel
        stream = Stream(request, outlet, slot, self._models, self._settings, cancel=cancel, on_end=ended)
        self._watchdog.watch(stream)
        try:
            stream.start()
        except RuntimeError:
            stream.fail(InternalFault("the server has no threads left"))
