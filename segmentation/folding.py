"""Folding of a displacement, between its voxels too."""

import itertools

import numpy as np


def folding_voxels(displacement):
    """How many voxels a displacement folds at.

    Formula: `p + u(p)`, read linearly between voxels, has in the corner of each cell of eight voxels the Jacobian of
    one-sided differences there. A voxel counts if that of any of its cells is 0 or less. Central differences
    (`nets.ops.jacobian`) leave the voxel itself out, and miss folds that alternate from one voxel to the next.

    Args:
        displacement: `(i, j, k, 3)`, in voxels.

    Returns:
        Integer.

    Raises:
        ValueError: If the displacement has another shape, or an axis of one voxel.

    Reference:
        - Liu et al., On finite difference Jacobian computation in deformable image registration, 2024.
    """
    shape = np.shape(displacement)
    if len(shape) != 4 or shape[-1] != 3 or min(shape[:3]) < 2:
        raise ValueError(f"Expected a displacement (i, j, k, 3), each axis 2 or longer. Received: shape={shape}")
    parts = np.moveaxis(np.asarray(displacement, "float32"), -1, 0)
    sides = []  # of each axis: the slope behind each voxel and the one before it, `(3, i, j, k)`
    for axis in range(3):
        slope = np.diff(parts, axis=axis + 1)
        slope[axis] += 1.0
        first, last = (np.take(slope, [end], axis + 1) for end in (0, -1))
        sides.append([np.concatenate(both, axis + 1) for both in ((first, slope), (slope, last))])
    folds = np.zeros(shape[:3], bool)
    for (a, b, c), (d, e, f), (g, h, i) in itertools.product(*sides):
        folds |= a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) <= 0
    return int(folds.sum())
