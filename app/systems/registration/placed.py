"""Where the voxels of one image lie in another: by headers, through an affine transform, through a displacement."""

import dataclasses

import keras
import numpy as np

from nets.ops.sample import sample


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


@dataclasses.dataclass(frozen=True)
class Warp:
    """From the fixed image to the moving one: a displacement, then an affine transform.

    Args:
        grid: `Grid` of the displacement.
        displacement: Array `(*grid.shape, rank)`, in voxels of that grid; None for 0.
        to_moving: `(rank + 1, rank + 1)`, from voxels of the fixed image to voxels of the moving one.
    """

    grid: Grid
    displacement: np.ndarray | None
    to_moving: np.ndarray

    def read_at(self, output):
        """Where the moving image is read for each voxel of a grid.

        Args:
            output: `Grid`. Beyond the displacement's own grid its edge goes on.

        Returns:
            Float32 displacement `(*output.shape, rank)` in voxels of the moving image, for `sample`.
        """
        matrix = (self.to_moving @ self.grid.to_fixed).astype("float32")
        places = _grid(output.shape)
        here = places
        if output is not self.grid and not np.array_equal(output.to_fixed, self.grid.to_fixed):
            here = _through(np.linalg.solve(self.grid.to_fixed, output.to_fixed).astype("float32"), places)
        if self.displacement is not None:
            field = self.displacement
            if here is not places or output.shape != self.grid.shape:
                field = keras.ops.convert_to_numpy(sample(field[None], (here - places)[None]))[0]
            here = here + field
        if np.array_equal(matrix, np.eye(len(matrix))):
            return here - places
        return _through(matrix, here) - places


def voxel_matrix(moving, fixed):
    """From voxels of the fixed image to voxels of the moving one by both headers, through millimetres.

    Args:
        moving: `Volume`.
        fixed: `Volume` of the same rank.

    Returns:
        `(rank + 1, rank + 1)`; the identity where both have one grid.
    """
    rank = fixed.array.ndim
    if moving.same_grid(fixed):
        return np.eye(rank + 1)
    matrix = np.linalg.solve(np.asarray(moving.affine, float), np.asarray(fixed.affine, float))
    kept = [*range(rank), 3]
    return matrix[np.ix_(kept, kept)]


def inside(moving_shape, displacement):
    """Which voxels are read within the moving image, to the outer faces of its voxels.

    Args:
        moving_shape: Voxels of the moving image along each axis.
        displacement: Of `Warp.read_at`.

    Returns:
        Boolean array of the displacement's grid.
    """
    places = _grid(displacement.shape[:-1]) + displacement
    return np.all((places >= -0.5) & (places <= np.array(moving_shape) - 0.5), axis=-1)


def linear_displacement(matrix, shape):
    """Of an affine transform, `M p - p`.

    Args:
        matrix: `(rank + 1, rank + 1)`, from voxels of a grid to voxels of an image.
        shape: Of the grid.

    Returns:
        Float32 array `(*shape, rank)`.
    """
    places = _grid(shape)
    return _through(matrix.astype("float32"), places) - places


def overlap(moving, fixed, to_moving):
    """Share of what is not background in the fixed image that lies within the moving image's grid.

    Args:
        moving: `Volume`.
        fixed: `Volume`.
        to_moving: As of `Warp`.

    Returns:
        Float, 0 to 1.
    """
    steps = tuple(slice(None, None, max(1, size // 40)) for size in fixed.array.shape)
    points = np.argwhere(fixed.array[steps] != fixed.array.min()) * [step.step for step in steps]
    places = _through(to_moving, points)
    return float(np.all((places >= -0.5) & (places <= np.array(moving.array.shape) - 0.5), axis=-1).mean())


def _grid(shape):
    return np.stack(np.meshgrid(*(np.arange(size, dtype="float32") for size in shape), indexing="ij"), axis=-1)


def _through(matrix, places):
    return places @ matrix[:-1, :-1].T + matrix[:-1, -1]
