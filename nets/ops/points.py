"""Points through a displacement, forwards and backwards."""

from keras import ops

from nets.ops.sample import sample_at


def points_to_moving(points, displacement):
    """Where points of the fixed image lie in the moving image.

    Formula: `q = p + u(p)`. A pull-back displacement carries points against the direction in
    which it carries images.

    Args:
        points: Tensor `(batch, n, 2 or 3)`, in voxels of the fixed image.
        displacement: Tensor `(batch, i, j[, k], 2 or 3)`, in voxels.

    Returns:
        Float32 tensor `(batch, n, 2 or 3)`, in voxels of the moving image.

    Raises:
        ValueError: If the ranks do not match.
    """
    return ops.cast(points, "float32") + sample_at(displacement, points)


def points_to_fixed(points, displacement, iterations=50):
    """Where points of the moving image come to lie: landmarks that follow the moved image.

    Formula: the fixed point of `p <- q - u(p)`, which converges where the displacement's
    slopes are below 1.

    Args:
        points: Tensor `(batch, n, 2 or 3)`, in voxels of the moving image.
        displacement: Tensor `(batch, i, j[, k], 2 or 3)`, in voxels.
        iterations: Number of steps.

    Returns:
        Float32 tensors: points `(batch, n, 2 or 3)` in voxels of the fixed image, and the
        residual `(batch, n)`, how far `points_to_moving` of them ends from `points`, in
        voxels. It stays large for points that come from outside of the image.

    Raises:
        ValueError: If the ranks do not match.
    """
    target = ops.cast(points, "float32")
    found = ops.fori_loop(0, iterations, lambda _, points: target - sample_at(displacement, points), target)
    return found, ops.norm(points_to_moving(found, displacement) - target, axis=-1)
