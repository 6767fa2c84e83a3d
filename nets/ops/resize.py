"""Change of a grid's resolution."""

import functools

from keras import ops

from nets.ops.compiled import compiled, with_gradient
from nets.ops.separable import apply_along_axes


def resize(volume, factor):
    """Linear resampling to `int(size * factor)` voxels an axis, corner voxels kept.

    Formula: sampled at `linspace(0, size - 1, int(size * factor))` along each axis, without
    smoothing (neurite's `resize`).

    Args:
        volume: Tensor `(batch, i, j[, k], channels)`.
        factor: Positive number; 1 returns the volume.

    Returns:
        Tensor of the new size.

    Raises:
        ValueError: If `factor` is not positive.
    """
    if factor <= 0:
        raise ValueError(
            f"Received an invalid value for `factor`, expected a positive number. Received: factor={factor}"
        )
    return volume if factor == 1 else _resizer(float(factor))(volume)


def resize_field(field, factor):
    """Resize a displacement or velocity, and its vectors with it.

    Formula: vectors are multiplied by `factor` (VoxelMorph's `RescaleTransform`).

    Args:
        field: Tensor `(batch, i, j[, k], 2 or 3)`, in voxels of its own grid.
        factor: Positive number.

    Returns:
        Field on the new grid, in voxels of the new grid.

    Raises:
        ValueError: If `factor` is not positive.
    """
    # Vectors are scaled on the smaller of the two grids.
    return resize(field * factor, factor) if factor > 1 else resize(field, factor) * factor


@functools.cache
def _resizer(factor):
    """Resizing by one factor: two gathers an axis; its adjoint by products with small matrices."""
    axes = [compiled(functools.partial(_along_axis, axis=axis, factor=factor)) for axis in (1, 2, 3)]

    def forward(volume):
        for axis in range(len(volume.shape) - 2):
            volume = axes[axis](volume)
        return volume

    def adjoint(volume, upstream):
        sizes = zip(ops.shape(volume)[1:-1], ops.shape(upstream)[1:-1], strict=True)
        matrices = [ops.transpose(_interpolation_matrix(size, new, upstream.dtype)) for size, new in sizes]
        return apply_along_axes(upstream, matrices)

    return with_gradient(forward, (adjoint,))


def _along_axis(volume, axis, factor):
    size = ops.shape(volume)[axis]
    new = int(size * factor) if isinstance(size, int) else ops.cast(ops.cast(size, "float64") * factor, "int32")
    position = _positions(size, new)
    lower = ops.minimum(ops.floor(position), ops.maximum(ops.cast(size, "float32") - 2.0, 0.0))
    fraction = ops.cast(ops.reshape(position - lower, [-1] + [1] * (len(volume.shape) - axis - 1)), volume.dtype)
    lower = ops.cast(lower, "int32")
    upper = ops.minimum(lower + 1, ops.cast(size, "int32") - 1)
    low, high = (ops.take(volume, index, axis=axis) for index in (lower, upper))
    return low * (1.0 - fraction) + high * fraction


def _positions(size, new):
    """Where the new voxels lie on the old axis."""
    last = ops.cast(size, "float32") - 1.0
    return ops.cast(ops.arange(new), "float32") * (last / ops.maximum(ops.cast(new, "float32") - 1.0, 1.0))


def _interpolation_matrix(size, new, dtype):
    """Rows of linear weights: `(new, size)`."""
    index = ops.cast(ops.arange(size), "float32")
    weights = ops.maximum(1.0 - ops.abs(_positions(size, new)[:, None] - index[None, :]), 0.0)
    return ops.cast(weights, dtype)
