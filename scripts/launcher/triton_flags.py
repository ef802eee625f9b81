"""The command-line flags that a rendered repository needs."""

from dataclasses import dataclass
from pathlib import Path

from launcher.ports import Ports

EXIT_TIMEOUT_S = 10
MEBIBYTE = 1 << 20


def threads_for(max_streams: int) -> int:
    """Threads that a Python model of so many streams needs: one each for the nested call of its language model and of
    its decoder, the rest for cancel calls, the probe, and children that do not answer."""
    return 2 * max_streams + 18


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonFlags:
    """What must be the same wherever the repository is served."""

    thread_pool_size: int = 32
    """Threads of each Python model for nested calls; Triton's own default is 32."""
    shared_memory_bytes: int = 4 * MEBIBYTE
    """First size of each Python model's shared memory."""
    shared_memory_growth_bytes: int = 4 * MEBIBYTE

    def portable(self) -> list[str]:
        """For any Triton."""
        return [
            "--model-control-mode=none",
            f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
            f"--backend-config=python,thread-pool-size={self.thread_pool_size}",
            f"--backend-config=python,shm-default-byte-size={self.shared_memory_bytes}",
            f"--backend-config=python,shm-growth-byte-size={self.shared_memory_growth_bytes}",
        ]

    def local(
        self, *, repository: Path, backends: Path, host: str, ports: Ports, shared_memory_prefix: str
    ) -> list[str]:
        """For the Triton of the wheel, on this machine."""
        return [
            f"--model-repository={repository}",
            f"--backend-directory={backends}",
            f"--backend-config=python,shm-region-prefix-name={shared_memory_prefix}",
            *self.portable(),
            f"--grpc-address={host}",
            f"--grpc-port={ports.grpc}",
            f"--metrics-address={host}",
            f"--metrics-port={ports.metrics}",
            f"--http-address={host}",
            f"--http-port={ports.http}",
        ]
