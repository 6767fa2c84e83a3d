"""Grids, and where the voxels of one lie in another: by headers, and through an affine transform."""

import dataclasses

import numpy as np

PARALLEL = 0.02  # millimetres that a plane leaves the other by, in one
POINTS = 40  # along an axis


@dataclasses.dataclass(frozen=True)
class Grid:
    """A grid on which a pair is compared or a result is written.

    Args:
        shape: Voxels along each axis.
        to_fixed: `(rank + 1, rank + 1)`, from its voxels to those of the fixed image.
        spacing_mm: Voxel size along each axis.
        affine: `(4, 4)`, voxel to RAS millimetres.
    """

    shape: tuple
    to_fixed: np.ndarray
    spacing_mm: tuple
    affine: np.ndarray

    @classmethod
    def of(cls, volume, fixed):
        """That of a volume.

        Args:
            volume: `Volume`.
            fixed: `Volume` of the same rank.
        """
        return cls(volume.array.shape, voxel_matrix(fixed, volume), volume.spacing_mm, np.asarray(volume.affine, float))


def displaced(matrix, displacement):
    """An affine transform after a displacement, `M (p + u) - p`.

    Args:
        matrix: `(rank + 1, rank + 1)`.
        displacement: Array `(*shape, rank)`.

    Returns:
        Float32 array of the same shape; the displacement itself where the matrix is the identity.
    """
    if np.array_equal(matrix, np.eye(len(matrix))):
        return displacement
    result = linear_displacement(matrix, displacement.shape[:-1])
    rows = matrix.astype("float32")
    for row in range(len(matrix) - 1):  # component by component: the whole takes three times the memory
        for column in range(len(matrix) - 1):
            result[..., row] += rows[row, column] * displacement[..., column]
    return result


def in_mm(spacing):
    """Voxel sides in words, such as "1 x 1 x 2.5"."""
    return " x ".join(f"{value:.3g}" for value in spacing)


def voxel_matrix(moving, fixed):
    """From voxels of the fixed image to voxels of the moving one by both headers, through millimetres.

    Args:
        moving: `Volume`.
        fixed: `Volume` of the same rank.

    Returns:
        `(rank + 1, rank + 1)`; the identity where both have one grid; of 2D images in planes that are not parallel by
        voxel size alone, their centres on each other.
    """
    rank = fixed.array.ndim
    if moving.same_grid(fixed):
        return np.eye(rank + 1)
    matrix = np.linalg.solve(np.asarray(moving.affine, float), np.asarray(fixed.affine, float))
    if not in_parallel_planes(moving, fixed):
        scales = np.array(fixed.spacing_mm) / np.array(moving.spacing_mm)
        matrix = np.diag([*scales, 1.0])
        middle, other = ((np.array(volume.array.shape) - 1) / 2 for volume in (fixed, moving))
        matrix[:-1, -1] = other - scales * middle
        return matrix
    kept = [*range(rank), 3]
    return matrix[np.ix_(kept, kept)]


def in_parallel_planes(moving, fixed):
    """Whether two 2D images lie in parallel planes by their headers; true of any 3D images.

    Args:
        moving: `Volume`.
        fixed: `Volume` of the same rank.
    """
    matrix = np.linalg.solve(np.asarray(moving.affine, float), np.asarray(fixed.affine, float))
    leaving = np.abs(matrix[2, :2]) * np.linalg.norm(moving.affine[:3, 2]) / np.array(fixed.spacing_mm)[:2]
    return fixed.array.ndim == 3 or bool(np.all(leaving < PARALLEL))


def inside(moving_shape, displacement):
    """Which voxels are read within the moving image, to the outer faces of its voxels.

    Args:
        moving_shape: Voxels of the moving image along each axis.
        displacement: Of `Warp.read_at`.

    Returns:
        Boolean array of the displacement's grid.
    """
    axes = np.ix_(*(np.arange(size, dtype="float32") for size in displacement.shape[:-1]))
    within = np.ones(displacement.shape[:-1], bool)
    for number, (count, axis) in enumerate(zip(moving_shape, axes, strict=True)):
        places = axis + displacement[..., number]
        within &= (places >= -0.5) & (places <= count - 0.5)
    return within


def linear_displacement(matrix, shape):
    """Of an affine transform, `M p - p`.

    Args:
        matrix: `(rank + 1, rank + 1)`, from voxels of a grid to voxels of an image.
        shape: Of the grid.

    Returns:
        Float32 array `(*shape, rank)`.
    """
    return np.stack(list(_rows(matrix - np.eye(len(matrix)), shape)), axis=-1)


def inside_linear(size, matrix, shape):
    """Which voxels of a grid lie within an image, to the outer faces of its voxels.

    Args:
        size: Voxels of the image along each axis.
        matrix: As of `linear_displacement`.
        shape: Of the grid.

    Returns:
        Boolean array of the grid's shape.
    """
    within = np.ones(shape, bool)
    for count, places in zip(size, _rows(matrix, shape), strict=True):
        within &= (places >= -0.5) & (places <= count - 0.5)
    return within


def overlap(moving, fixed, to_moving):
    """Share of what is not background in the fixed image that lies within the moving image's grid.

    Args:
        moving: `Volume`.
        fixed: `Volume`.
        to_moving: As of `Warp`.

    Returns:
        Float, 0 to 1.
    """
    places = _through(to_moving, shown_points(fixed.array))
    return float(np.all((places >= -0.5) & (places <= np.array(moving.array.shape) - 0.5), axis=-1).mean())


def shown_points(array):
    """Voxels, about 40 along each axis, that are not background.

    Args:
        array: `(i, j[, k])`.

    Returns:
        Array `(count, rank)`; all of them where nothing else is left.
    """
    steps = tuple(slice(None, None, max(1, size // POINTS)) for size in array.shape)
    marked = array[steps] != array.min()
    return np.argwhere(marked if marked.any() else ~marked) * [step.step for step in steps]


def _rows(matrix, shape):
    """Each component of `M p` over a grid, without the translation's row."""
    axes = np.ix_(*(np.arange(size, dtype="float32") for size in shape))
    rows = matrix[:-1].astype("float32")
    return (sum(factor * axis for factor, axis in zip(row, axes, strict=False)) + row[-1] for row in rows)


def _through(matrix, places):
    return places @ matrix[:-1, :-1].T + matrix[:-1, -1]
