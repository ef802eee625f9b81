"""How many of the processor's cores, and how many processes, vLLM takes when it runs on the processor."""

from collections.abc import MutableMapping

BINDING = "VLLM_CPU_OMP_THREADS_BIND"
THREADS = "OMP_NUM_THREADS"
PROCESSES = "VLLM_ENABLE_V1_MULTIPROCESSING"


def bound_threads(environ: MutableMapping[str, str], cores: int) -> None:
    """Leaves half of the cores to the audio decoder and Triton, unless the environment says how vLLM is to bind.

    vLLM pins itself to all cores but one, and whatever runs on the pinned ones beside it waits. Unpinned threads can
    make way, and need no worker process that vLLM could pin: without one a small model's token takes a sixth less time.
    """
    if BINDING not in environ:
        environ[BINDING] = "nobind"
        environ.setdefault(THREADS, str(max(1, cores // 2)))
        environ.setdefault(PROCESSES, "0")
