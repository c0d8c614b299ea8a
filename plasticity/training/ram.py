"""How much memory a run's network takes, and how much is available."""

import resource
from pathlib import Path

from plasticity.errors import UserError
from plasticity.networks.layer import places
from plasticity.optimisers import Optimiser
from plasticity.run import Run

BYTES_PER_WEIGHT = 8
"""The least that any engine needs: a weight as it is drawn, and as it learns, in 32 bits each."""


def needed(run: Run) -> int:
    """The least number of bytes that a run's network takes, with what the optimiser remembers of it."""
    return BYTES_PER_WEIGHT * run.weights + _remembered(run)


def _remembered(run: Run) -> int:
    if type(run.optimiser).memory is Optimiser.memory:
        return 0
    import torch

    try:  # tensors on "meta" have shapes, and no memory
        sizes = [torch.empty(place.parameter.shape, device="meta") for place in places(run.layers).values()]
        return sum(one.nbytes for size in sizes for one in run.optimiser.memory(size).values())
    except Exception:  # a user's own may need values
        return 0


def available() -> int | None:
    """The bytes that this process may still take, given the machine, its job and its limits; None if unknown."""
    found = [size for size in (_of_the_machine(), _of_the_group(), _of_the_process()) if size is not None]
    return min(found, default=None)


def check(run: Run) -> None:
    """Refuses a run whose network cannot fit, before any of it is drawn.

    Raises:
        UserError: saying how much it needs, and how much there is.
    """
    there = available()
    if there is not None and needed(run) > there:
        raise UserError(
            f"its network of layers {_shown(run)} does not fit into memory: it takes at least "
            f"{needed(run) / 1e9:,.1f} GB, and only {there / 1e9:,.1f} GB are available"
        )


def _shown(run: Run) -> str:
    sizes = [str(size) for size in run.layer_sizes]
    return "-".join(sizes if len(sizes) < 12 else [*sizes[:4], "…", *sizes[-2:]])


def _of_the_machine() -> int | None:
    sizes = _fields(Path("/proc/meminfo"))
    return sizes["MemAvailable"] + sizes.get("SwapFree", 0) if "MemAvailable" in sizes else None


def _of_the_group() -> int | None:
    """What the control group (a container, a SLURM job) leaves; for version 2, as far as it can be read."""
    try:
        group = Path("/sys/fs/cgroup", Path("/proc/self/cgroup").read_text().rpartition("::/")[2].strip())
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such group, or no limit ("max")
        return None


def _of_the_process() -> int | None:
    """What `ulimit -v` leaves."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    taken = _fields(Path("/proc/self/status")).get("VmSize")
    return None if limit == resource.RLIM_INFINITY or taken is None else max(0, limit - taken)


def _fields(path: Path) -> dict[str, int]:
    """The sizes in a system file, in bytes, by name."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    words = [line.split() for line in lines if line.endswith(" kB")]
    return {name.rstrip(":"): 1024 * int(size) for name, size, _ in words}
