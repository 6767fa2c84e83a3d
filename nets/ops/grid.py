"""Voxel coordinates of a grid, and checks on the rank of what is put on it."""

from keras import ops


def coordinate(shape, axis):
    """Voxel index along one spatial axis, shaped to broadcast over `(batch, *shape)`.

    Args:
        shape: Spatial shape, integers or (at unknown sizes) scalar tensors.
        axis: Which of the spatial axes, from 0.

    Returns:
        A float32 tensor of shape `(1, ..., shape[axis], ..., 1)`, rank `1 + len(shape)`.
    """
    position = ops.cast(ops.arange(shape[axis]), "float32")
    broadcast = [1] * (len(shape) + 1)
    broadcast[axis + 1] = -1
    return ops.reshape(position, broadcast)


def spatial_rank(volume, displacement):
    """The number of spatial axes that a volume and a displacement share.

    Args:
        volume: Tensor `(batch, i, j[, k], channels)`.
        displacement: Tensor `(batch, i, j[, k], 2 or 3)`.

    Returns:
        2 or 3.

    Raises:
        ValueError: If the ranks differ, are not 2D or 3D, or the displacement does
            not have one component an axis.
    """
    rank = len(volume.shape) - 2
    if rank not in (2, 3) or len(displacement.shape) - 2 != rank or displacement.shape[-1] != rank:
        raise ValueError(
            "Expected a volume (batch, i, j[, k], channels) and a displacement with one component "
            "a spatial axis, both in 2D or both in 3D. "
            f"Received: volume.shape={tuple(volume.shape)}, "
            f"displacement.shape={tuple(displacement.shape)}"
        )
    return rank


def central_difference(x, axis):
    """Slope along an axis: central differences inside, one-sided at the border.

    Formula: `numpy.gradient(x, axis=axis)`.

    Args:
        x: Tensor, 2 or longer along the axis.
        axis: Which of all axes.

    Returns:
        Tensor of the same shape.
    """

    def part(start, stop):
        return x[(slice(None),) * axis + (slice(start, stop),)]

    inner = (part(2, None) - part(None, -2)) * 0.5
    return ops.concatenate([part(1, 2) - part(0, 1), inner, part(-1, None) - part(-2, -1)], axis=axis)
