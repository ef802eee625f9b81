"""A speech server that speaks by script, where there is none."""

from orpheus_client import PAUSE_MS, FakeSpeech, SpeechOptions, SpeechStream, speak_pieces, split_text
from orpheus_client import FakeEngine as FakeClient
from orpheus_core.checkpoint import Checkpoint

CHECKPOINTS = (
    Checkpoint(
        name="fake",
        model="orpheus_llm",
        stop_token_ids=(0,),
        languages=("en", "zh"),
        voices={"en": ("tara", "leo"), "zh": ("长乐",)},
        default_voice="tara",
        can_clone=True,
    ),
)


class FakeEngine(FakeClient):
    """An `Engine` for tests: `orpheus_client.FakeEngine` with a splitter before it and checkpoints of its own.

    Args:
        script: an answer for each piece of text in turn; the last one is for all further ones.
        checkpoints: what it says is loaded; nothing is checked against them.
    """

    def __init__(self, *script: FakeSpeech, checkpoints: tuple[Checkpoint, ...] = CHECKPOINTS) -> None:
        super().__init__(*script)
        self._checkpoints = checkpoints

    def speak_long(
        self,
        text: str,
        options: SpeechOptions = SpeechOptions(),  # noqa: B008  (frozen)
        *,
        pause_ms: float = PAUSE_MS,
        enable_text_splitting: bool = True,
    ) -> SpeechStream:
        """The pieces of a text, each with the next answer of the script."""
        max_chars = self._checkpoints[0].max_text_chars
        pieces = split_text(text, max_chars, enable_text_splitting=enable_text_splitting)
        return speak_pieces(self, pieces or [text], options, pause_ms=pause_ms)

    async def checkpoints(self) -> tuple[Checkpoint, ...]:
        """What it says is loaded."""
        return self._checkpoints
