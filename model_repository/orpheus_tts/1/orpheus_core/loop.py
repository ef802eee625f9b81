"""A model that has fallen into a loop repeats the same frames for ever."""

from collections import deque

import numpy as np
import numpy.typing as npt

from orpheus_core.checkpoint import LoopRule
from orpheus_core.tokens import Frames


class LoopGuard:
    """Watches for a short pattern of identical frames that goes on and on."""

    def __init__(self, rule: LoopRule) -> None:
        self._rule = rule
        self._recent: deque[bytes] = deque(maxlen=rule.max_period_frames)
        self._run_frames = [0] * (rule.max_period_frames + 1)
        """By period: how many frames in a row equal the one that many frames before."""

    def push(self, frames: Frames) -> bool:
        """Whether the stream is in a loop, after these frames [n, 7] as well."""
        looping = False
        for frame in frames:
            looping = self._push_one(frame) or looping
        return looping

    def _push_one(self, frame: npt.NDArray[np.int64]) -> bool:
        key = frame.tobytes()
        looping = False
        if key not in self._recent:
            self._run_frames = [0] * len(self._run_frames)
            self._recent.append(key)
            return False
        for period in range(1, len(self._recent) + 1):
            self._run_frames[period] = self._run_frames[period] + 1 if self._recent[-period] == key else 0
            looping = looping or self._is_loop(period)
        self._recent.append(key)
        return looping

    def _is_loop(self, period: int) -> bool:
        span_frames = self._run_frames[period] + period
        return span_frames >= max(self._rule.min_span_frames, self._rule.min_repeats * period)
