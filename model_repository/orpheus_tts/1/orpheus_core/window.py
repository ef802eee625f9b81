"""Streaming decode that equals the decode of the whole speech at once.

A decoder without attention sees `receptive_field_samples` to each side and no further. A window of frames [a, b) hence
yields final samples from `a * 2048 + reach` (0 at the start of the speech) to `b * 2048 - reach` (all at its end). Only
those are let out: no cross-fade, no approximation, nothing lost at either end.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from orpheus_core.checkpoint import Decoder
from orpheus_core.errors import InternalFault
from orpheus_core.layout import SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from orpheus_core.pcm import Pcm, no_samples, to_pcm
from orpheus_core.tokens import Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a decoder is asked for once."""

    codes: Frames
    """[F, 7] int64, F one of the decoder's bucket lengths, pad codes 0."""
    valid: npt.NDArray[np.int32]
    """[2] int32: first and end real frame."""


DecodeWindow = Callable[[Window], npt.NDArray[np.float32]]
"""A window to its audio, [2048 * F] float32."""


def no_frames() -> Frames:
    """An empty run of frames, [0, 7]."""
    return np.empty((0, TOKENS_PER_FRAME), dtype=np.int64)


def context_frames(decoder: Decoder) -> int:
    """Frames decoded again with every chunk: the reach to both sides, in whole frames."""
    return -(-2 * decoder.receptive_field_samples // SAMPLES_PER_FRAME)


class ExactWindow:
    """Frames in, final samples out."""

    def __init__(self, decode: DecodeWindow, decoder: Decoder) -> None:
        self._decode = decode
        self._buckets = decoder.bucket_frames
        self._context_frames = context_frames(decoder)
        self._reach_samples = decoder.receptive_field_samples
        self._frames = no_frames()
        self._first_frame = 0
        """Position in the speech of the first frame kept."""
        self._sent_samples = 0
        self.windows = 0
        self.decoded_frames = 0
        """Real frames over all windows."""
        self.padded_frames = 0
        """Frames over all windows, padding included."""

    def push(self, frames: Frames) -> Pcm:
        """Samples that became final with these frames [n, 7].

        Raises:
            InternalFault: the decoder's answer is no audio of the window's length.
        """
        return self._run(frames, last=False)

    def flush(self, frames: Frames | None = None) -> Pcm:
        """All the rest, after the speech's last frames [n, 7] if there are any left to push; raises as `push`."""
        return self._run(no_frames() if frames is None else frames, last=True)

    def _run(self, frames: Frames, *, last: bool) -> Pcm:
        self._frames = np.concatenate((self._frames, frames))
        total_frames = self._first_frame + len(self._frames)
        chunks = []
        while self._sent_samples < self._final_samples(total_frames, last=last):
            end_frame = self._first_frame + self._next_length(total_frames - self._first_frame, last=last)
            chunks.append(self._decode_until(end_frame, last=last and end_frame == total_frames))
        return np.concatenate(chunks) if chunks else no_samples()

    def _next_length(self, frames: int, *, last: bool) -> int:
        """Real frames of the next window when so many are at hand."""
        if last and frames <= self._buckets[-1]:
            return self._tail(frames)[0]
        return min(frames, self._buckets[-1])

    def _tail(self, frames: int) -> tuple[int, int]:
        """Real frames of the next window of a speech's last frames, and the length of all windows to come.

        What hardly fills its bucket is cut in two, if that decodes less padding than it decodes twice.
        """
        whole = self._bucket(frames)
        full = max((bucket for bucket in self._buckets if self._context_frames < bucket < frames), default=None)
        if full is None:
            return frames, whole
        in_two = full + self._tail(frames - full + self._context_frames)[1]
        return (full, in_two) if in_two < whole else (frames, whole)

    def _bucket(self, frames: int) -> int:
        return next(bucket for bucket in self._buckets if bucket >= frames)

    def _final_samples(self, end_frame: int, *, last: bool) -> int:
        return end_frame * SAMPLES_PER_FRAME - (0 if last else self._reach_samples)

    def _decode_until(self, end_frame: int, *, last: bool) -> Pcm:
        window = self._window(self._frames[: end_frame - self._first_frame])
        audio = _checked(self._decode(window), window)
        offset_samples = self._first_frame * SAMPLES_PER_FRAME
        final_samples = self._final_samples(end_frame, last=last)
        samples = audio[self._sent_samples - offset_samples : final_samples - offset_samples]
        self._sent_samples = final_samples
        self._forget()
        return to_pcm(samples)

    def _window(self, frames: Frames) -> Window:
        real_frames = len(frames)
        length_frames = self._bucket(real_frames)
        self.windows += 1
        self.decoded_frames += real_frames
        self.padded_frames += length_frames
        codes = np.zeros((length_frames, TOKENS_PER_FRAME), dtype=np.int64)
        codes[:real_frames] = frames
        return Window(codes=codes, valid=np.array([0, real_frames], dtype=np.int32))

    def _forget(self) -> None:
        """Drop frames that no later sample needs on its left."""
        needed = max(0, (self._sent_samples - self._reach_samples) // SAMPLES_PER_FRAME)
        self._frames = self._frames[needed - self._first_frame :]
        self._first_frame = needed


def _checked(audio: npt.NDArray[np.float32], window: Window) -> npt.NDArray[np.float32]:
    expected_samples = len(window.codes) * SAMPLES_PER_FRAME
    if audio.shape != (expected_samples,):
        raise InternalFault(f"the decoder answered with {audio.size} samples instead of {expected_samples}")
    if not np.isfinite(audio).all():
        raise InternalFault("the decoder answered with samples that are no numbers")
    return audio
