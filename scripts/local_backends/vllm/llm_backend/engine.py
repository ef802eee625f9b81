"""vLLM's asynchronous engine in a thread with an event loop of its own."""

import asyncio
import threading
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, TypeVar

from vllm import exceptions
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from llm_backend.deltas import Delta
from llm_backend.errors import EngineDown, EngineFault, InvalidInput
from llm_backend.request import Generation
from llm_backend.sampling import FIELD, check_token_ids

# Newer versions have a class of their own for what is the request's fault, older ones raise ValueError.
REFUSALS = (ValueError, getattr(exceptions, "VLLMClientError", ValueError))
NATURAL_ENDS = ("stop", "length", "repetition")
GRACE_S = 1.0
"""For the engine's processes to end by themselves."""

DEAD = "engine: the language model's engine is dead"

T = TypeVar("T")


class Engine:
    """Generates for many requests at once. All coroutines run on its loop (`run`)."""

    def __init__(self, arguments: Mapping[str, Any], stat_loggers: Sequence[Callable[..., Any]] = ()) -> None:
        """
        Args:
            arguments: of vLLM's `AsyncEngineArgs`.
            stat_loggers: factories in vLLM's sense, called with its configuration and an index.
        """
        self._arguments = dict(arguments)
        self._stat_loggers = list(stat_loggers)
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._tokenizing = ThreadPoolExecutor(1, "tokenizer")
        self._llm: Any = None

    def start(self) -> None:
        """Returns when the engine can serve, which vLLM bounds by `VLLM_ENGINE_READY_TIMEOUT_S`.

        Raises:
            Exception: whatever vLLM raises if it cannot.
        """
        self._ready: Future[None] = Future()
        self._thread.start()
        self._ready.result()

    def run(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Starts a task on the loop, from any thread.

        Raises:
            EngineDown: the loop has ended.
        """
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise EngineDown(DEAD) from None

    @property
    def is_alive(self) -> bool:
        llm = self._llm
        return llm is not None and not llm.errored

    async def generate(self, generation: Generation) -> AsyncGenerator[Delta, None]:
        """The deltas, the last one with a finish reason. Leaving early takes the request out of the engine.

        Raises:
            InvalidInput: the model cannot do that.
            EngineDown: the engine is dead.
            EngineFault: this request failed.
        """
        # The caller's id may be empty or in use; the engine must never mix two requests up.
        name = uuid.uuid4().hex
        prompt = {"prompt_token_ids": await self._token_ids(generation.prompt)}
        params = self._params(generation)
        is_over = False
        try:
            async with aclosing(self._llm.generate(prompt, params, name)) as outputs:
                async for output in outputs:
                    is_over = output.finished
                    yield _delta(output)
        except EngineDeadError:
            raise EngineDown(DEAD) from None
        except REFUSALS as error:
            raise InvalidInput(f"request: {error}") from None
        finally:
            if not is_over:
                # vLLM's own clean-up misses a request whose caller left while it was being handed over.
                await self._llm.abort(name)

    def stop(self, timeout_s: float) -> bool:
        """Ends the engine and its processes; whether that was done in time."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(timeout_s)
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
        return not self._thread.is_alive()

    def _work(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        try:
            self._llm = self._open()
        except BaseException as error:  # the thread that waits in `start` raises it
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        await self._stopping.wait()
        llm, self._llm = self._llm, None
        llm.shutdown(timeout=GRACE_S)

    def _open(self) -> Any:
        options = AsyncEngineArgs(**self._arguments)
        return AsyncLLM.from_vllm_config(
            options.create_engine_config(UsageContext.ENGINE_CONTEXT),
            usage_context=UsageContext.ENGINE_CONTEXT,
            stat_loggers=self._stat_loggers,
            # Only vLLM's own loggers go: they write lines of figures to the log.
            disable_log_stats=True,
        )

    async def _token_ids(self, prompt: str) -> list[int]:
        """As vLLM would, but beside the loop: a long prompt would hold up everybody's tokens."""
        encode = self._llm.get_tokenizer().encode
        ids: list[int] = await self._loop.run_in_executor(self._tokenizing, encode, prompt)
        longest = self._llm.model_config.max_model_len - 1
        if not ids:
            raise InvalidInput("text_input: no tokens: send some text")
        if len(ids) > longest:
            raise InvalidInput(f"text_input: {len(ids)} tokens: this model takes at most {longest}, send less text")
        return ids

    def _params(self, generation: Generation) -> SamplingParams:
        check_token_ids(generation.sampling, self._llm.model_config.get_vocab_size())
        kind = RequestOutputKind.DELTA if generation.is_streamed else RequestOutputKind.FINAL_ONLY
        try:
            return SamplingParams(**generation.sampling, output_kind=kind)
        except (*REFUSALS, TypeError) as error:
            raise InvalidInput(f"{FIELD}: {error}") from None


def _delta(output: RequestOutput) -> Delta:
    """
    Raises:
        EngineFault: the engine ended the request by itself.
    """
    piece = output.outputs[0]
    if piece.finish_reason is not None and piece.finish_reason not in NATURAL_ENDS:
        raise EngineFault("engine: gave the request up")
    return Delta(
        text=piece.text,
        tokens=len(piece.token_ids),
        prompt_tokens=len(output.prompt_token_ids or ()),
        finish_reason=piece.finish_reason,
        logprobs=piece.logprobs,
        cumulative_logprob=piece.cumulative_logprob,
    )
