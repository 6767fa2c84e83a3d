"""What a training needs at the least, counted from its config before anything is built.

Counted are weights with their gradients and a moment, what the convolutions give (kept for the way back), and
images that are kept; not temporaries, fused operations and the libraries' own: a training takes more than this.
"""

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

from app.errors import UserError

FLOAT = 4  # bytes
TRAINED = 3 * FLOAT  # of a weight: itself, its gradient, one moment or more


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a network costs.

    Args:
        weights: Their number.
        kept: Values that a training keeps of one sample.
        work: Multiplications of one sample, forward.
        data: Bytes of images in memory.
    """

    weights: float = 0
    kept: float = 0
    work: float = 0
    data: float = 0

    def __add__(self, other):
        return Cost(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    def bytes(self, batch):
        """Bytes that a training takes at the least.

        Args:
            batch: Samples in a batch.

        Returns:
            Number.
        """
        return TRAINED * self.weights + FLOAT * self.kept * batch + self.data


def check_memory(needed, keys, remedy="lower one of them"):
    """See that something fits into this machine's memory.

    Args:
        needed: Bytes, at the least.
        keys: What is too large, for the message.
        remedy: What to do about it.

    Raises:
        UserError: If it does not.
    """
    if needed <= machine_bytes() or needed <= _graphics_bytes():
        return
    raise UserError(
        f"{keys}: at least {_gib(needed)} GiB of memory would be needed, this machine has "
        f"{_gib(machine_bytes())}; {remedy}"
    )


def machine_bytes():
    """Memory of this machine, or of the container that this process runs in.

    Returns:
        Bytes.
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        return physical if limit == "max" else min(physical, int(limit))
    except (OSError, ValueError):
        return physical  # no container


def _gib(size):
    return f"{size / 2**30:,.1f}" if size < 2**50 else f"{size / 2**30:.0e}"


def _graphics_bytes():
    """Memory of all graphics cards together: replicas share a batch."""
    if not (os.path.exists("/dev/nvidiactl") and shutil.which("nvidia-smi")):
        return 0
    words = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)
        return sum(int(line) for line in done.stdout.split()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def unet_cost(rank, voxels, channels, encoder, decoder, final, resolution=1):
    """Of a `nets.unet.unet`.

    Args:
        rank: 2 or 3.
        voxels: Of the images.
        channels: Of the input.
        encoder, decoder, final: Widths, as for the network.
        resolution: Of the output: 2 for half.

    Returns:
        `Cost`.
    """
    cost, skips = Cost(), []

    def convolved(widths):
        nonlocal cost, channels
        for width in (widths,) if isinstance(widths, int) else widths:
            weights = 3**rank * channels * width
            cost += Cost(weights + width, voxels * width, voxels * weights)
            channels = width

    for widths in encoder:
        convolved(widths)
        skips.append(channels)
        voxels /= 2**rank
    for level, widths in reversed(list(enumerate(reversed(decoder)))):
        convolved(widths)
        if 2**level >= resolution:
            voxels *= 2**rank
            channels += skips[level]
    for widths in final:
        convolved(widths)
    return cost
