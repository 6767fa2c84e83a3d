"""Bending energy of a field."""

from itertools import combinations

from keras import ops


def bending_energy(field):
    """Mean size of a field's second differences.

    Formula: `sum_a mean((d_aa u)^2) + 2 sum_{a < b} mean((d_ab u)^2)` over the axes, central differences for `aa`,
    forward ones for `ab`.

    Args:
        field: Tensor `(batch, i, j[, k], components)`, in voxels of its own grid, three voxels or more along each axis.

    Returns:
        Tensor `(batch,)`, 0 for an affine field.

    Reference:
        - Rueckert et al., Nonrigid registration using free-form deformations, 1999, equation 4.
    """
    rank = len(field.shape) - 2
    everything = tuple(range(1, rank + 2))
    axes = range(1, rank + 1)
    total = 0.0
    for axis in axes:
        total = total + ops.mean(ops.square(_difference(_difference(field, axis), axis)), axis=everything)
    for first, second in combinations(axes, 2):
        total = total + 2.0 * ops.mean(ops.square(_difference(_difference(field, first), second)), axis=everything)
    return total


def _difference(field, axis):
    ahead = (slice(None),) * axis
    return field[(*ahead, slice(1, None))] - field[(*ahead, slice(0, -1))]
