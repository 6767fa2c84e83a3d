"""Change of a grid's resolution."""

from keras import ops

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
    if factor == 1:
        return volume
    matrices = []
    for size in ops.shape(volume)[1:-1]:
        new = int(size * factor) if isinstance(size, int) else ops.cast(ops.cast(size, "float64") * factor, "int32")
        matrices.append(_interpolation_matrix(size, new, volume.dtype))
    return apply_along_axes(volume, matrices)


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
    return field if factor == 1 else resize(field, factor) * factor


def _interpolation_matrix(size, new, dtype):
    """Rows of linear weights: `(new, size)`."""
    last = ops.cast(size - 1, dtype)
    steps = ops.maximum(ops.cast(new - 1, dtype), 1.0)
    position = ops.cast(ops.arange(new), dtype) * (last / steps)
    index = ops.cast(ops.arange(size), dtype)
    return ops.maximum(1.0 - ops.abs(position[:, None] - index[None, :]), 0.0)
