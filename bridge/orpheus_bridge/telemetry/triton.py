"""What Triton's own metrics say of its GPUs and of its models' loading."""

import asyncio
import re
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

ANSWER_S = 1.0
KEEP_S = 5.0
MAX_PAGE_BYTES = 4 * 1024 * 1024

_LINE = re.compile(r"^(nv_[a-z_]+)\{([^}]*)\} ([0-9.eE+-]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

_GPU_FIELDS = {
    "nv_gpu_utilization": "utilization",
    "nv_gpu_memory_used_bytes": "memory_used_bytes",
    "nv_gpu_memory_total_bytes": "memory_total_bytes",
}
_LOAD_SECONDS = "nv_model_load_duration_secs"


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonFigures:
    """Empty where Triton tells nothing, as on a machine without a GPU."""

    gpus: dict[str, dict[str, float]] = field(default_factory=dict)
    """By the card's id: `utilization` 0..1, `memory_used_bytes`, `memory_total_bytes`."""
    load_s: dict[str, float] = field(default_factory=dict)
    """By model, on a Triton that tells it."""


class TritonMetrics:
    """Reads Triton's metrics page, at most every five seconds.

    Args:
        url: of the page, `http://host:port/metrics`; None: there is none.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._lock = asyncio.Lock()
        self._kept = TritonFigures()
        self._stale_at = 0.0

    async def figures(self) -> TritonFigures:
        """Never raises: a page that cannot be had is empty."""
        async with self._lock:
            now_s = asyncio.get_running_loop().time()
            if self._url and now_s >= self._stale_at:
                self._kept = await asyncio.to_thread(_read, self._url)
                self._stale_at = asyncio.get_running_loop().time() + KEEP_S
            return self._kept


def parse(page: str) -> TritonFigures:
    """The figures of one page."""
    gpus: dict[str, dict[str, float]] = {}
    loads: dict[str, float] = {}
    for name, labels, value in _lines(page):
        if name in _GPU_FIELDS:
            gpus.setdefault(labels.get("gpu_uuid", ""), {})[_GPU_FIELDS[name]] = value
        elif name == _LOAD_SECONDS:
            loads[labels.get("model", "")] = value
    return TritonFigures(gpus=gpus, load_s=loads)


def _lines(page: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for name, labels, value in _LINE.findall(page):
        yield name, dict(_LABEL.findall(labels)), float(value)


def _read(url: str) -> TritonFigures:
    try:
        with closing(urllib.request.urlopen(url, timeout=ANSWER_S)) as answer:  # noqa: S310  (a setting)
            return parse(answer.read(MAX_PAGE_BYTES).decode(errors="replace"))
    except (OSError, ValueError):
        return TritonFigures()
