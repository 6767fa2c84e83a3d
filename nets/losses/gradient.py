"""Smoothness of a field."""

from keras import ops


def gradient_penalty(field, penalty="l2"):
    """Mean size of a field's forward differences.

    Formula: `mean_axes mean(|d field|^p)`, p = 2 for "l2", 1 for "l1" (VoxelMorph's `Grad`;
    the HyperMorph paper's `||grad v||^2` up to a constant).

    Args:
        field: Tensor `(batch, i, j[, k], components)`, in voxels of its own grid.
        penalty: "l1" or "l2".

    Returns:
        Tensor `(batch,)`, 0 for a translation.

    Raises:
        ValueError: If the penalty is unknown.
    """
    if penalty not in ("l1", "l2"):
        raise ValueError(f"Received an invalid value for `penalty`, expected 'l1' or 'l2'. Received: penalty={penalty}")
    size = ops.square if penalty == "l2" else ops.abs
    rank = len(field.shape) - 2
    axes = tuple(range(1, rank + 2))
    total = 0.0
    for axis in range(1, rank + 1):
        ahead = (slice(None),) * axis
        total = total + ops.mean(size(field[(*ahead, slice(1, None))] - field[(*ahead, slice(0, -1))]), axis=axes)
    return total / rank
