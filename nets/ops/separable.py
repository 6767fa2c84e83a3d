"""Linear maps that act along one spatial axis at a time, as matrix products.

A product with a (small) matrix an axis keeps the CPU's vector units busy, needs no
compilation for a new size, and lets the map itself depend on a tensor: a window width
can be a network's input.
"""

from keras import ops


def apply_along_axes(x, matrices):
    """Apply one matrix along each spatial axis.

    Args:
        x: Tensor `(batch, i, j[, k], channels)`.
        matrices: One an axis: `(out, in)`, or `(batch, out, in)` for a matrix a sample.

    Returns:
        Tensor `(batch, out_i, out_j[, out_k], channels)`.
    """
    channels = x.shape[-1]
    for axis, matrix in enumerate(matrices, start=1):
        shape = list(ops.shape(x))
        per_sample = len(matrix.shape) == 3
        if axis < len(shape) - 2:
            before = [shape[0], -1] if per_sample else [-1]
            if per_sample:
                matrix = matrix[:, None]
            y = ops.matmul(matrix, ops.reshape(x, before + [shape[axis], _product(shape[axis + 1 :])]))
        else:
            # The last axis: one wide product instead of many products with few columns.
            wide = _repeat_for_channels(matrix, channels)
            before = [shape[0], -1] if per_sample else [-1]
            y = ops.matmul(ops.reshape(x, before + [shape[axis] * channels]), wide)
        shape[axis] = ops.shape(matrix)[-2]
        x = ops.reshape(y, shape)
    return x


def box_sum(x, window):
    """Sum over a box about each voxel, zeros outside.

    Formula: along each axis `sum_q clip(window/2 + 1/2 - |p - q|, 0, 1) x[q]`: the plain sum
    of `window` voxels where the window is odd, continuous and differentiable in it.

    Args:
        x: Tensor `(batch, i, j[, k], channels)`.
        window: Box width in voxels, a number or a tensor `(batch,)`.

    Returns:
        Tensor of the shape of `x`.
    """
    half = ops.cast(window, x.dtype) / 2.0 + 0.5
    if len(half.shape):
        half = half[:, None, None]
    matrices = []
    for size in ops.shape(x)[1:-1]:
        index = ops.cast(ops.arange(size), x.dtype)
        matrices.append(ops.clip(half - ops.abs(index[:, None] - index[None, :]), 0.0, 1.0))
    return apply_along_axes(x, matrices)


def _product(sizes):
    total = 1
    for size in sizes:
        total = total * size
    return total


def _repeat_for_channels(matrix, channels):
    """`kron(transpose(matrix), identity(channels))`, to be applied from the right."""
    transposed = ops.swapaxes(matrix, -1, -2)
    if channels == 1:
        return transposed
    shape = ops.shape(transposed)
    wide = transposed[..., :, None, :, None] * ops.eye(channels, dtype=matrix.dtype)[:, None, :]
    return ops.reshape(wide, [*shape[:-2], shape[-2] * channels, shape[-1] * channels])
