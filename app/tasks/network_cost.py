"""What a training needs at the least, counted from its config before anything is built.

Counted are weights with their gradients and a moment, what the convolutions give (kept for the way back), and
images that are kept; not temporaries, fused operations and the libraries' own: a training takes more than this.
"""

import dataclasses
import math
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


def hypermorph_cost(config, shape=None):
    """Of a `nets.registration.hypermorph.HyperMorph`.

    Args:
        config: `HyperMorphConfig`.
        shape: Of the images; None where it is not known yet, and only weights are counted.

    Returns:
        `Cost`.
    """
    network, rank = config.network, config.network.rank
    voxels = math.prod(shape[:rank]) if shape else 0
    first = network.velocity_resolution // 2

    def walk(level, final, resolution=1):
        down, up = network.encoder[level:], network.decoder[: len(network.decoder) - level]
        return _unet(rank, voxels / 2 ** (rank * level), 2, down, up, final, resolution)

    if network.features == "images":
        cost = walk(0, network.final, network.velocity_resolution)
    else:
        cost = walk(first, network.final) + walk(first + 1, network.final)
    filters = sum(network.encoder + network.decoder + network.final)
    generated = {"per_channel": 0, "low_rank": 4, "full": network.units}[network.generator] * cost.weights
    hyper = network.depth * network.units**2 + 2 * network.units * filters + generated
    kernels = 0 if network.generator == "per_channel" else cost.weights
    size = 1 if network.precision == "float32" else 0.5
    fields = rank * (network.integration_steps * voxels / network.velocity_resolution**rank + voxels)
    cost = dataclasses.replace(cost, kept=size * cost.kept)
    return cost + Cost(hyper, kernels + fields, network.depth * network.units**2 + generated)


def fov_cost(config):
    """Of a `nets.classification.slice_classifier.SliceClassifier`.

    Args:
        config: `FovConfig`.

    Returns:
        `Cost`.
    """
    network, pixels, channels, cost = config.network, config.data.size**2, 2 * config.data.context + 1, Cost()
    for _ in range(network.blocks):
        for _ in range(network.convolutions):
            for window in (network.kernel_size,) * 2 if network.separable else (network.kernel_size**2,):
                weights = window * channels * network.filters
                cost += Cost(weights, pixels * network.filters, pixels * weights)
                channels = network.filters
        pixels //= 4
    flat = pixels * channels if network.head == "dense" else channels
    for units in network.units if network.head == "dense" else ():
        cost += Cost(flat * units, units, flat * units)
        flat = units
    return cost


def cube_cost(config, volumes, structures=1):
    """Of a `nets.segmentation_unet.SegmentationUNet`, alone or within a template's network, and of the cubes it sees.

    Args:
        config: `KidneyConfig` or `TemplateConfig`.
        volumes: How many are kept in memory.
        structures: How many are told apart.

    Returns:
        `Cost`.
    """
    voxels = config.data.size**3
    cost = Cost(data=volumes * voxels * (2 + structures))
    if config.network is None:  # a trained one, which fitted into memory before
        return cost
    *widths, lowest = [(width, width) for width in config.network.filters]
    return cost + _unet(3, voxels, 1, widths, [lowest, *widths[:0:-1]], widths[0])


def check_cubes(config, volumes, structures=1):
    """See that the training of a network on cubes fits into this machine's memory.

    Args:
        config: `KidneyConfig` or `TemplateConfig`.
        volumes: How many are trained on.
        structures: How many are told apart.

    Returns:
        `Cost`.

    Raises:
        UserError: If it does not.
    """
    cost = cube_cost(config, volumes, structures)
    check_memory(
        cost.bytes(min(config.training.batch_size, volumes)), "data.size, network.filters, training.batch_size"
    )
    return cost


def register_bytes(shape):
    """What a registration takes at the least: two images, the fields between them and their integration.

    Args:
        shape: Of the images.

    Returns:
        Bytes.
    """
    return 16 * FLOAT * math.prod(shape)


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


def _unet(rank, voxels, channels, encoder, decoder, final, resolution=1):
    """Of a `nets.unet.unet`, whose arguments these are."""
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
