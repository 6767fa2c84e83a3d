"""Volumes on a cube of one size and spacing, and back on their own grid."""

import dataclasses

import numpy as np
from nibabel.orientations import io_orientation
from scipy.ndimage import affine_transform, gaussian_filter

from app.data.sound import check_three_axes
from app.errors import UserError


@dataclasses.dataclass(frozen=True)
class CubeGrid:
    """Where a cube lies.

    Args:
        size: Voxels along each of its three axes.
        affine: `(4, 4)`, voxel of the cube to RAS millimetres.
    """

    size: int
    affine: np.ndarray


def cube_grid(volume, size, spacing_mm):
    """The cube around the middle of what a volume shows.

    Its axes are the volume's own, in the order and direction next to right, front and up; what is 0 on
    all sides, such as the outside of an ultrasound sector, does not count.

    Args:
        volume: `Volume`.
        size: Voxels along each axis.
        spacing_mm: Of the cube.

    Returns:
        `CubeGrid`.

    Raises:
        UserError: If the volume is not 3D, not finite, empty, its affine singular, or what it shows does not fit.
    """
    check_three_axes(volume)
    shown = volume.array != 0
    if not shown.any():
        raise UserError("every voxel is 0; there is nothing to see")
    profiles = [np.flatnonzero(shown.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low, high = (np.array([profile[end] for profile in profiles]) for end in (0, -1))
    low, high = low - 0.5, high + 0.5
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    extent = (high - low) * spacing
    most = size * spacing_mm + spacing_mm
    if extent.max() > most:
        across = " x ".join(f"{size:.0f}" for size in extent)
        raise UserError(
            f"shows {across} mm, the cube holds {size * spacing_mm:.0f} mm (data.size x data.spacing_mm); crop the "
            "volume, or train with a larger cube"
        )
    transform = io_orientation(volume.affine)
    directions = np.zeros((3, 3))
    for axis in range(3):
        directions[:, int(transform[axis, 0])] = transform[axis, 1] * volume.affine[:3, axis] / spacing[axis]
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing_mm
    middle = volume.affine[:3, :3] @ ((low + high) / 2) + volume.affine[:3, 3]
    affine[:3, 3] = middle - affine[:3, :3] @ np.full(3, (size - 1) / 2)
    return CubeGrid(size, affine)


def to_cube(volume, grid):
    """A volume's intensities on a cube: smoothed where the cube is coarser, linear, 0 outside.

    Args:
        volume: `Volume`.
        grid: `CubeGrid`.

    Returns:
        `(size, size, size)`, float32, in the volume's units.
    """
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    coarse = np.linalg.norm(grid.affine[:3, 0])
    # As wide as what is missing to the cube's own voxels, which are boxes of deviation 0.29.
    sigma = 0.29 * np.sqrt(np.maximum((coarse / spacing) ** 2 - 1, 0))
    array = gaussian_filter(np.asarray(volume.array, "float32"), sigma, mode="constant")
    pull = np.linalg.inv(volume.affine) @ grid.affine
    return affine_transform(array, pull[:3, :3], pull[:3, 3], (grid.size,) * 3, order=1, mode="constant")


def from_cube(array, grid, like, outside=0.0):
    """What lies on a cube, on a volume's own grid: the inverse of `to_cube`.

    Args:
        array: `(size, size, size)`.
        grid: `CubeGrid`.
        like: `Volume` whose grid is taken.
        outside: Value beyond the cube; None: that of its edge.

    Returns:
        Array of that volume's shape, float32.
    """
    pull = np.linalg.inv(grid.affine) @ like.affine
    array = np.pad(np.asarray(array, "float32"), 1, mode="edge")  # half a voxel of the cube lies beyond its last middle
    offset = pull[:3, 3] + 1
    beyond = {"mode": "nearest"} if outside is None else {"mode": "constant", "cval": outside}
    return affine_transform(array, pull[:3, :3], offset, like.array.shape[:3], order=1, **beyond)
