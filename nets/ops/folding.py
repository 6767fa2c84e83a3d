"""Folding of a displacement, between its voxels too."""

import itertools

import numpy as np

SLAB = 2**20  # voxels looked at together


def folding_voxels(displacement):
    """How many voxels a displacement folds at.

    Formula: `p + u(p)`, read linearly between voxels, has in the corner of each cell of 4 or 8 voxels the Jacobian
    of one-sided differences there. A voxel counts if that of any of its cells is 0 or less. Central differences
    (`nets.ops.jacobian`) leave the voxel itself out, and miss folds that alternate from one voxel to the next.

    Args:
        displacement: Array `(i, j[, k], 2 or 3)`, in voxels.

    Returns:
        Integer.

    Raises:
        ValueError: If the displacement has another shape, or an axis of one voxel.

    Reference:
        - Liu et al., On finite difference Jacobian computation in deformable image registration, 2024.
    """
    shape = _checked(displacement)
    count, size = 0, max(1, SLAB // int(np.prod(shape[1:-1])))
    for first in range(0, shape[0], size):  # a slab with its neighbours: the whole would take thirty times its memory
        before, last = min(first, 1), min(first + size, shape[0])
        start = max(0, min(first - before, shape[0] - 2))
        folds = _folds(np.asarray(displacement[start : last + 1], "float32"))
        count += int(folds[first - start : last - start].sum())
    return count


def _checked(displacement):
    shape = np.shape(displacement)
    rank = len(shape) - 1
    if rank not in (2, 3) or shape[-1] != rank or min(shape[:-1]) < 2:
        raise ValueError(f"Expected a displacement (i, j[, k], 2 or 3), each axis 2 or longer. Received: shape={shape}")
    return shape


def _folds(displacement):
    """Which voxels fold."""
    rank = displacement.ndim - 1
    parts = np.moveaxis(displacement, -1, 0)
    sides = []  # of each axis: the slope behind each voxel and that before it, `(rank, i, j[, k])`
    for axis in range(rank):
        slope = np.diff(parts, axis=axis + 1)
        slope[axis] += 1.0
        first, last = (np.take(slope, [end], axis + 1) for end in (0, -1))
        sides.append([np.concatenate(both, axis + 1) for both in ((first, slope), (slope, last))])
    folds = np.zeros(displacement.shape[:-1], bool)
    for columns in itertools.product(*sides):
        folds |= _determinant(columns) <= 0
    return folds


def folding_percent(displacement):
    """Share of the voxels that a displacement folds at: the count of every figure and report here.

    Args:
        displacement: As for `folding_voxels`.

    Returns:
        Float, in percent.

    Raises:
        ValueError: As `folding_voxels`.
    """
    return 100.0 * folding_voxels(displacement) / np.prod(np.shape(displacement)[:-1])


def non_diffeomorphic_percent(displacement):
    """Volume that a displacement turns inside out, of the volume of its cells.

    Formula: each cell of 8 (4) voxels is cut into 5 tetrahedra (2 triangles) in both ways; the volumes of those that
    are turned inside out are added, and halved.

    Args:
        displacement: As for `folding_voxels`.

    Returns:
        Float, in percent.

    Raises:
        ValueError: As `folding_voxels`.

    Reference:
        - Liu et al., On finite difference Jacobian computation in deformable image registration, 2024: its
          non-diffeomorphic volume (area).
    """
    shape = _checked(displacement)
    rank, turned, size = len(shape) - 1, 0.0, max(1, SLAB // int(np.prod(shape[1:-1])))
    for first in range(0, shape[0] - 1, size):
        slab = np.asarray(displacement[first : first + size + 1], "float32")
        places = slab + np.stack(np.meshgrid(*map(np.arange, slab.shape[:-1]), indexing="ij"), axis=-1)
        corners = {
            corner: places[tuple(slice(None, -1) if low == 0 else slice(1, None) for low in corner)]
            for corner in itertools.product((0, 1), repeat=rank)
        }
        for simplex in _simplices(rank):
            edges = [np.moveaxis(corners[corner] - corners[simplex[0]], -1, 0) for corner in simplex[1:]]
            turned -= float(np.minimum(_determinant(edges), 0).sum(dtype="float64"))
    cells = np.prod(np.array(shape[:-1]) - 1)
    return 100.0 * turned / (2 * (6 if rank == 3 else 2)) / cells


def _simplices(rank):
    """Corners of the tetrahedra (triangles) of both ways to cut a cell, each in positive order."""
    corners = list(itertools.product((0, 1), repeat=rank))
    simplices = []
    for corner in corners:  # the tip at each corner, with its neighbours along the axes
        neighbours = [tuple(1 - c if axis == other else c for other, c in enumerate(corner)) for axis in range(rank)]
        simplices.append([corner, *neighbours])
    if rank == 3:  # what is left between four tips
        simplices += [[corner for corner in corners if sum(corner) % 2 == parity] for parity in (0, 1)]
    for simplex in simplices:
        if np.linalg.det(np.array(simplex[1:]) - np.array(simplex[0])) < 0:
            simplex[-1], simplex[-2] = simplex[-2], simplex[-1]
    return simplices


def _determinant(columns):
    if len(columns) == 2:
        (a, b), (c, d) = columns
        return a * d - b * c
    (a, b, c), (d, e, f), (g, h, i) = columns
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
