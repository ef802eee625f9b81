"""Speech as a WAV file that is there whole or not at all."""

import errno
import os
import secrets
import wave
from pathlib import Path
from types import TracebackType
from typing import Self

from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm


class WavWriter:
    """Writes 24 kHz mono int16 to a file beside `path`, which takes its name when the writer is left without an error.

    Raises:
        OSError: the folder is not there or cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def __enter__(self) -> Self:
        if not self._path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(self._path.parent))
        self._part = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}.part")
        self._file = self._part.open("xb")
        self._wav = wave.open(self._file, "wb")
        self._wav.setnchannels(1)
        self._wav.setsampwidth(2)
        self._wav.setframerate(SAMPLE_RATE_HZ)
        return self

    def write(self, samples: Pcm) -> None:
        """Appends samples [n]."""
        self._wav.writeframes(samples.astype("<i2").tobytes())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wav.close()
            self._file.close()
            if kind is None:
                self._part.replace(self._path)
        finally:
            self._part.unlink(missing_ok=True)


def write_wav(path: str | os.PathLike[str], samples: Pcm) -> None:
    """Writes samples [n], 24 kHz mono int16; an older file is replaced at once.

    Raises:
        OSError: the folder is not there or cannot be written to.
    """
    with WavWriter(path) as wav:
        wav.write(samples)
