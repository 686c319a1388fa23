"""How many clients run at once: what CPUs, GPUs and memory allow."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.runtime.slots import HELD_BYTES

_PROCESS_BYTES = 64 << 20  # what a worker needs besides the model
_MODEL_COPIES = 4  # received, trained, and slots for its reply
_TOGETHER_SHARE = 8  # of the free memory, one part is for replies that are held together,
_TOGETHER_BYTES = 1 << 30  # but not more than this


@dataclass(frozen=True)
class ClientResources:
    """What one client needs.

    Parameters
    ----------
    num_cpus : float
        CPUs, also the number of BLAS threads (1 at the least).
    num_gpus : float
        GPUs; a fraction lets several clients share one.
    """

    num_cpus: float = 1.0
    num_gpus: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("num_cpus", self.num_cpus), ("num_gpus", self.num_gpus)):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"client_resources: {name} must be a number, not {value!r}.")
        if not self.num_cpus > 0:
            raise ValueError(f"client_resources: num_cpus must be above 0, not {self.num_cpus}.")
        if not self.num_gpus >= 0:
            raise ValueError(f"client_resources: num_gpus must not be negative: {self.num_gpus}.")


@dataclass(frozen=True)
class Capacity:
    """How many workers there will be, of what, and why."""

    workers: int
    threads: int
    gpus: tuple[str, ...]
    gpu_share: float
    reason: str

    def environment(self, index: int) -> dict[str, str]:
        """Environment of the worker of an index: the GPU it may see."""
        if not self.gpus or not self.gpu_share:
            return {}
        whole = max(1, int(self.gpu_share))
        if self.gpu_share >= 1:
            mine = self.gpus[index * whole : (index + 1) * whole]
        else:
            mine = (self.gpus[index // int(1 / self.gpu_share)],)
        return {"CUDA_VISIBLE_DEVICES": ",".join(mine)}


def plan(
    resources: ClientResources, nodes: int, init_args: Mapping[str, Any] | None = None
) -> Capacity:
    """Decide the number of workers.

    Parameters
    ----------
    resources : ClientResources
        What one client needs.
    nodes : int
        How many nodes there are; more workers than nodes are of no use.
    init_args : mapping, optional
        ``num_cpus`` and ``num_gpus`` of the whole simulation, in place of the machine's.

    Raises
    ------
    ValueError
        If not even one client fits; names the key.
    """
    given = init_args or {}
    cpus = float(given.get("num_cpus") or available_cpus())
    gpus = visible_gpus()
    if given.get("num_gpus") is not None:
        gpus = gpus[: int(given["num_gpus"])]
    workers = int(cpus / resources.num_cpus + 1e-9)
    if workers < 1:
        raise ValueError(
            f"client_resources: num_cpus = {resources.num_cpus:g} is more than the "
            f"{cpus:g} CPUs that this simulation has."
        )
    reason = f"{cpus:g} CPUs / {resources.num_cpus:g} a client"
    if resources.num_gpus:
        share = resources.num_gpus
        by_gpu = len(gpus) * int(1 / share) if share < 1 else len(gpus) // int(share)
        if by_gpu < 1:
            raise ValueError(
                f"client_resources: num_gpus = {share:g} is more than the {len(gpus)} GPUs "
                "that this simulation has."
            )
        if by_gpu < workers:
            workers, reason = by_gpu, f"{len(gpus)} GPUs / {share:g} a client"
    if nodes < workers:
        workers, reason = nodes, f"{nodes} nodes"
    return Capacity(workers, max(1, int(resources.num_cpus)), gpus, resources.num_gpus, reason)


def workers_that_fit(model_bytes: int) -> int:
    """Return how many workers the free memory allows for a model of this size (1 at least)."""
    return max(1, free_memory() // (_MODEL_COPIES * model_bytes + _PROCESS_BYTES))


def bytes_to_hold_together() -> int:
    """Return how much of replies that are held together stays in memory; 64 MiB at the least."""
    return max(HELD_BYTES, min(free_memory() // _TOGETHER_SHARE, _TOGETHER_BYTES))


def available_cpus() -> float:
    """CPUs that this process may use: its affinity, and its container's quota."""
    count = float(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1.0, int(quota) / int(period)))
    except (OSError, ValueError):
        pass
    return count


def free_memory() -> int:
    """Bytes that may still be used: the machine's, and within the container's limit."""
    free = 1 << 62
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    except OSError:
        return free
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            used = int(Path("/sys/fs/cgroup/memory.current").read_text())
            free = min(free, max(0, int(limit) - used))
    except (OSError, ValueError):
        pass
    return free


def visible_gpus() -> tuple[str, ...]:
    """Return the ids of the NVIDIA GPUs that this process may use; asks no driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name.strip() for name in visible.split(",") if name.strip() not in ("", "-1"))
    try:
        names = sorted(p.name for p in Path("/proc/driver/nvidia/gpus").iterdir())
    except OSError:
        return ()
    return tuple(str(index) for index in range(len(names)))
