"""Cancel calls that overtook the request they are for."""

import time
from collections import OrderedDict
from collections.abc import Callable

KEPT_S = 30.0
MAX_KEPT = 1024


class EarlyCancels:
    """Remembers ids for a while; when it is full, the oldest is forgotten.

    Args:
        clock: monotonic seconds.
    """

    def __init__(
        self, *, kept_s: float = KEPT_S, max_kept: int = MAX_KEPT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kept_s = kept_s
        self._max_kept = max_kept
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def remember(self, request_id: str) -> None:
        self._until.pop(request_id, None)
        self._until[request_id] = self._clock() + self._kept_s
        while len(self._until) > self._max_kept or self._is_over(next(iter(self._until.values()))):
            self._until.popitem(last=False)

    def take(self, request_id: str) -> bool:
        """Whether that id was cancelled; it is forgotten by that."""
        until = self._until.pop(request_id, None)
        return until is not None and not self._is_over(until)

    def _is_over(self, until: float) -> bool:
        return self._clock() >= until
