"""Composition of transforms."""

from keras import ops

from nets.ops.affine import affine_to_displacement, compose_affine, is_affine
from nets.ops.sample import follow


def compose(*transforms):
    """One transform that does what several do one after another.

    Formula: for two displacements, `u = u2 + u1 o (id + u2)`, so that `sample(x, compose(u1, u2))`
    equals `sample(sample(x, u1), u2)`.

    Args:
        *transforms: Displacements `(batch, i, j[, k], 2 or 3)` in voxels and affine matrices
            `(batch, n, n + 1)`, in the order in which they are applied to an image.

    Returns:
        Displacement tensor on the grid of the last displacement; a matrix if all are matrices.

    Raises:
        ValueError: If none is given, or their ranks differ.
    """
    if not transforms:
        raise ValueError("compose() expects at least one transform. Received none.")
    *earlier, total = transforms
    for transform in reversed(earlier):
        total = _compose_two(transform, total)
    return total


def _compose_two(first, second):
    if is_affine(first) and is_affine(second):
        return compose_affine(first, second)
    if is_affine(first):
        first = affine_to_displacement(first, ops.shape(second)[1:-1])
    elif is_affine(second):
        second = affine_to_displacement(second, ops.shape(first)[1:-1])
    return follow(first, second)
