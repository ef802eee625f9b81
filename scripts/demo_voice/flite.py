"""flite's voices, in this process, through its C library: audio, pitch and phones of a sentence in one call."""

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_float, c_int, c_short, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from demo_voice.errors import RecipeError
from demo_voice.phones import PHONE_IDS

FLITE_RATE_HZ = 16_000
PITCH_STEP_S = 0.005

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """One sentence as flite speaks it."""

    audio: FloatArray
    """[N] at `FLITE_RATE_HZ`, -1..1."""
    pitch_hz: FloatArray
    """[P], one value each `PITCH_STEP_S`; 0 where unvoiced."""
    phones: npt.NDArray[np.uint8]
    """[S], indices of `PHONES`."""
    ends_s: FloatArray
    """[S], where each phone ends."""


class _Wave(Structure):
    _fields_ = (
        ("type", c_char_p), ("rate_hz", c_int), ("samples", c_int), ("channels", c_int), ("data", POINTER(c_short)),
    )  # fmt: skip


class _Track(Structure):
    _fields_ = (
        ("type", c_char_p), ("frames", c_int), ("channels", c_int), ("times", POINTER(c_float)),
        ("data", POINTER(POINTER(c_float))),
    )  # fmt: skip


class _Utterance(Structure):
    _fields_ = (("features", c_void_p),)


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "flite_synth_text": (POINTER(_Utterance), [c_char_p, c_void_p]),
    "utt_wave": (POINTER(_Wave), [POINTER(_Utterance)]),
    "feat_val": (c_void_p, [c_void_p, c_char_p]),
    "val_track": (POINTER(_Track), [c_void_p]),
    "delete_utterance": (None, [POINTER(_Utterance)]),
    "utt_relation": (c_void_p, [POINTER(_Utterance), c_char_p]),
    "relation_head": (c_void_p, [c_void_p]),
    "item_next": (c_void_p, [c_void_p]),
    "item_feat_string": (c_char_p, [c_void_p, c_char_p]),
    "item_feat_float": (c_float, [c_void_p, c_char_p]),
}


class FliteVoice:
    """One voice, loaded; not to be used by two threads at once."""

    def __init__(self, name: str) -> None:
        """
        Args:
            name: of a clustergen voice: `slt`, `rms` or `awb`.

        Raises:
            RecipeError: the library or the voice is not installed.
        """
        self._library = library("libflite.so.1")
        library("libflite_cmulex.so.1")
        library("libflite_usenglish.so.1")
        register = getattr(library(f"libflite_cmu_us_{name}.so.1"), f"register_cmu_us_{name}")
        for function, (result, arguments) in _SIGNATURES.items():
            getattr(self._library, function).restype = result
            getattr(self._library, function).argtypes = arguments
        self._library.flite_init()
        register.restype, register.argtypes = c_void_p, [c_void_p]
        self._voice = register(None)

    def speak(self, text: str) -> Speech:
        """Speaks lower-case text.

        Raises:
            RecipeError: flite gives no audio for it.
        """
        utterance = self._library.flite_synth_text(text.encode("ascii"), self._voice)
        if not utterance:
            raise RecipeError(f"text: {text!r}: flite does not speak it")
        try:
            phones, ends_s = self._segments(utterance)
            return Speech(audio=self._audio(utterance), pitch_hz=self._pitch(utterance), phones=phones, ends_s=ends_s)
        finally:
            self._library.delete_utterance(utterance)

    def _audio(self, utterance: Any) -> FloatArray:
        wave = self._library.utt_wave(utterance)[0]
        if wave.rate_hz != FLITE_RATE_HZ or wave.channels != 1:
            raise RecipeError(f"flite: {wave.rate_hz} Hz, {wave.channels} channels: give a 16 kHz mono voice")
        samples = np.ctypeslib.as_array(wave.data, (wave.samples,))
        return (samples / 32768.0).astype(np.float32)

    def _pitch(self, utterance: Any) -> FloatArray:
        track = self._library.val_track(self._library.feat_val(utterance[0].features, b"param_track"))[0]
        return np.array([track.data[frame][0] for frame in range(track.frames)], dtype=np.float32)

    def _segments(self, utterance: Any) -> tuple[npt.NDArray[np.uint8], FloatArray]:
        phones, ends_s = [], []
        item = self._library.relation_head(self._library.utt_relation(utterance, b"Segment"))
        while item:
            phones.append(PHONE_IDS[self._library.item_feat_string(item, b"name").decode()])
            ends_s.append(self._library.item_feat_float(item, b"end"))
            item = self._library.item_next(item)
        return np.array(phones, dtype=np.uint8), np.array(ends_s, dtype=np.float32)


def library(name: str) -> ctypes.CDLL:
    """One of flite's, the same each time.

    Raises:
        RecipeError: it is not installed.
    """
    try:
        return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        raise RecipeError(f"{name}: not found: apt-get install libflite1") from None
