"""Speech from a Triton server that serves `orpheus_tts`, as streams of 24 kHz audio.

    async with SpeechClient("127.0.0.1:8001") as client:
        async with client.speak("Hello there.", SpeechOptions(voice="tara")) as stream:
            async for chunk in stream:
                play(chunk.samples)
        print(stream.result.finish_reason)

Long text: `SpeechClient.speak_long` and `orpheus_client.split`. Everything public is named in `__all__`.
"""

from orpheus_client._catalogue import Voice
from orpheus_client._client import Health, SpeechClient
from orpheus_client._engine import SpeechEngine
from orpheus_client._errors import (
    Busy,
    Cancelled,
    ChunkTimeout,
    ConnectionFailed,
    ConnectTimeout,
    EngineDown,
    FirstAudioTimeout,
    InternalFault,
    InvalidInput,
    ProtocolFault,
    SpeechError,
    SpeechTimeout,
    TotalTimeout,
    Unavailable,
)
from orpheus_client._fake import FakeEngine, FakeSpeech
from orpheus_client._listener import Heard, Listener
from orpheus_client._long import PAUSE_MS, speak_pieces
from orpheus_client._options import Reference, SpeechOptions
from orpheus_client._results import AudioChunk, FinishReason, SpeechResult, SpeechStats
from orpheus_client._retry import RetryBudget, RetryPolicy
from orpheus_client._stream import SpeechStream
from orpheus_client._timeouts import Timeouts
from orpheus_client._wav import WavWriter, write_wav
from orpheus_client.split import TextSplitter, split_text

__all__ = [
    "PAUSE_MS",
    "AudioChunk",
    "Busy",
    "Cancelled",
    "ChunkTimeout",
    "ConnectTimeout",
    "ConnectionFailed",
    "EngineDown",
    "FakeEngine",
    "FakeSpeech",
    "FinishReason",
    "FirstAudioTimeout",
    "Health",
    "Heard",
    "InternalFault",
    "InvalidInput",
    "Listener",
    "ProtocolFault",
    "Reference",
    "RetryBudget",
    "RetryPolicy",
    "SpeechClient",
    "SpeechEngine",
    "SpeechError",
    "SpeechOptions",
    "SpeechResult",
    "SpeechStats",
    "SpeechStream",
    "SpeechTimeout",
    "TextSplitter",
    "Timeouts",
    "TotalTimeout",
    "Unavailable",
    "Voice",
    "WavWriter",
    "speak_pieces",
    "split_text",
    "write_wav",
]
