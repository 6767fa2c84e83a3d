"""Where the voxels of the fixed image lie in the moving one, by both headers."""

import itertools

import numpy as np

from app.errors import UserError
from app.notes import note

LEAST_OVERLAP = 0.1  # of the fixed image's grid
SAID_OVERLAP = 0.9


def voxel_matrix(moving, fixed):
    """From voxels of the fixed image to voxels of the moving one, through millimetres.

    Args:
        moving: `Volume`.
        fixed: `Volume` of the same rank.

    Returns:
        `(rank, rank + 1)`, `[A | t]`.
    """
    rank = fixed.array.ndim
    matrix = np.linalg.solve(np.asarray(moving.affine, float), np.asarray(fixed.affine, float))
    return matrix[:rank][:, [*range(rank), 3]]


def displacement_in_moving(moving, fixed, displacement=None):
    """A displacement on the fixed image's grid in voxels of the moving image, `M (p + u(p)) - p`.

    Args:
        moving: `Volume`.
        fixed: `Volume`.
        displacement: Array `(*fixed.shape, rank)`, in voxels of the fixed image; None for 0.

    Returns:
        Float32 array `(*fixed.shape, rank)`; exactly the displacement where both have one grid.
    """
    places = _grid(fixed.array.shape).astype("float32")
    if displacement is None:
        displacement = np.zeros_like(places)
    if moving.same_grid(fixed):
        return displacement
    matrix = voxel_matrix(moving, fixed).astype("float32")
    return (places + displacement) @ matrix[:, :-1].T + matrix[:, -1] - places


def inside(moving, displacement):
    """Which voxels of the fixed image are read within the moving one.

    Args:
        moving: `Volume`.
        displacement: Of `displacement_in_moving`.

    Returns:
        Boolean array of the fixed image's shape.
    """
    return _within(moving, _grid(displacement.shape[:-1]) + displacement)


def check_overlap(config, moving, fixed):
    """See that two images lie over each other by their headers, and say what is assumed.

    Args:
        config: With `moving` and `fixed`, the names.
        moving: `Volume`.
        fixed: `Volume`.

    Raises:
        UserError: If less than a tenth of the fixed image's grid lies within the moving image.
    """
    if moving.same_grid(fixed, (config.moving, config.fixed)):
        return
    ends = [np.linspace(0, size - 1, 20) for size in fixed.array.shape]
    points = np.array(list(itertools.product(*ends)))
    matrix = voxel_matrix(moving, fixed)
    places = points @ matrix[:, :-1].T + matrix[:, -1]
    share = _within(moving, places).mean()
    if share < LEAST_OVERLAP:
        raise UserError(
            f"{config.moving}: only {100 * share:.0f} % of the grid of {config.fixed} lies within it by the headers; "
            "align the two first, or correct a header"
        )
    note(
        f"{config.moving}: read where both headers place the voxels of {config.fixed}; no affine alignment is computed"
    )
    if share < SAID_OVERLAP:
        note(f"{config.fixed}: {100 * (1 - share):.0f} % of its grid lies outside of {config.moving}; not compared")


def _grid(shape):
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)


def _within(moving, places):
    """Whether places, in voxels of the moving image, lie in it: to the outer faces of its voxels."""
    return np.all((places >= -0.5) & (places <= np.array(moving.array.shape) - 0.5), axis=-1)
