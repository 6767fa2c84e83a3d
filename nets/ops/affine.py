"""Affine transforms as displacements."""

from keras import ops

from nets.ops.grid import coordinate


def affine_to_displacement(matrix, shape):
    """Displacement of an affine transform about the grid's centre.

    Formula: `u(p) = A (p - c) + t - (p - c)`, `c = (shape - 1) / 2`.

    Args:
        matrix: Tensor `(batch, n, n + 1)`, `[A | t]`, in voxels, n = 2 or 3.
        shape: Spatial shape of the grid, n integers.

    Returns:
        Tensor `(batch, *shape, n)`, in voxels.

    Raises:
        ValueError: If matrix and shape do not fit each other.
    """
    rank = len(shape)
    if rank not in (2, 3) or tuple(matrix.shape[1:]) != (rank, rank + 1):
        raise ValueError(
            "Expected a matrix (batch, n, n + 1) for a grid of n axes, n = 2 or 3. "
            f"Received: matrix.shape={tuple(matrix.shape)}, shape={tuple(shape)}"
        )
    ones = ops.ones([1, *shape])
    centred = ops.stack([(coordinate(shape, axis) - (shape[axis] - 1) / 2.0) * ones for axis in range(rank)], axis=-1)
    flat = ops.reshape(centred, (1, -1, rank))
    moved = ops.matmul(flat, ops.swapaxes(matrix[:, :, :rank], 1, 2)) + matrix[:, None, :, rank]
    return ops.reshape(moved - flat, (-1, *shape, rank))
