"""Local volume change of a displacement."""

from nets.ops.grid import central_difference, spatial_rank


def jacobian_determinant(displacement):
    """Determinant of the Jacobian of `p -> p + displacement[p]`.

    Central differences inside, one-sided at the border (`numpy.gradient`). 1 keeps volume,
    0 or less folds.

    Args:
        displacement: Tensor `(batch, i, j[, k], 2 or 3)`, in voxels, every axis 2 or longer.

    Returns:
        Tensor `(batch, i, j[, k])`.

    Raises:
        ValueError: If the displacement is neither 2D nor 3D.
    """
    rank = spatial_rank(displacement, displacement)
    columns = [central_difference(displacement, axis + 1) for axis in range(rank)]
    jacobian = [
        [columns[axis][..., component] + float(axis == component) for axis in range(rank)] for component in range(rank)
    ]
    if rank == 2:
        (a, b), (c, d) = jacobian
        return a * d - b * c
    (a, b, c), (d, e, f), (g, h, i) = jacobian
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
