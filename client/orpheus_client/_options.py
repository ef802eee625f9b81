"""What a caller may ask for besides the text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """A voice to clone: a recording's transcript and its codes."""

    text: str
    codes: npt.NDArray[np.integer[Any]]
    """[7 * frames], slot order, each 0..4095."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOptions:
    """Only what is set is sent; the rest is the checkpoint's default. The server checks the ranges."""

    voice: str | None = None
    language: str | None = None
    """BCP-47, matched by its primary subtag."""
    temperature: float | None = None
    """0.1 to 1.5."""
    top_p: float | None = None
    """0.05 to 1."""
    repetition_penalty: float | None = None
    """1 to 2."""
    seed: int | None = None
    """0 or more: the same codes again on an otherwise idle server, and the same samples to 1 LSB."""
    max_seconds: float | None = None
    """0.2 to 60."""
    reference: Reference | None = None
    trim_silence: bool | None = None
    """Leave out the quiet opening; the server's default is yes."""
    probe: bool = False
    """A health check: half a second at most, in a slot of its own."""


DEFAULTS = SpeechOptions()
