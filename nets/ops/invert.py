"""Inverse of a displacement."""

from keras import ops

from nets.ops.sample import follow, sample


def invert_displacement(displacement, iterations=20):
    """The displacement that undoes another, by fixed-point iteration.

    Formula: `w <- -u(p + w(p))`, which converges where the displacement's slopes are below 1.
    A velocity's inverse is had exactly, and more cheaply, by integrating its negative.

    Args:
        displacement: Tensor `(batch, i, j[, k], 2 or 3)`, in voxels.
        iterations: Number of steps.

    Returns:
        Float32 tensors: the inverse, of the same shape, and the residual
        `(batch, i, j[, k])`, `|w(p) + u(p + w(p))|` in voxels. It stays large where the
        displacement folds; where the inverse leads out of the image it says nothing, since
        the displacement is clamped at the edge there.

    Raises:
        ValueError: If the displacement is neither 2D nor 3D.

    Reference:
        - Chen et al., A simple fixed-point approach to invert a deformation field, 2008.
    """
    displacement = ops.cast(displacement, "float32")
    inverse = ops.fori_loop(0, iterations, lambda _, found: -sample(displacement, found), -displacement)
    return inverse, ops.norm(follow(displacement, inverse), axis=-1)
