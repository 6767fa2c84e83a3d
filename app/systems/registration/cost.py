"""What a registration network takes."""

import dataclasses
import math

from app.training.cost import FLOAT, Cost, unet_cost


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
        return unet_cost(rank, voxels / 2 ** (rank * level), 2, down, up, final, resolution)

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


def register_bytes(shape):
    """What a registration takes at the least: two images, the fields between them and their integration.

    Args:
        shape: Of the images.

    Returns:
        Bytes.
    """
    return 16 * FLOAT * math.prod(shape)


def engine_bytes(shape, similarity, symmetric):
    """What a registration without a model takes: images, fields, forces and local statistics.

    Args:
        shape: Of the working grid.
        similarity: Of `RegisterConfig`; descriptors have 12 channels.
        symmetric: Of `RegisterConfig`.

    Returns:
        Bytes.
    """
    return (120 if similarity == "mind" else 40) * (1 + symmetric) * FLOAT * math.prod(shape)


def output_bytes(shape):
    """What the writing of results takes: places to read at, the moved image, the whole warp and its Jacobian.

    Args:
        shape: Of the grid on which they are written.

    Returns:
        Bytes.
    """
    return 16 * FLOAT * math.prod(shape)
