"""From the fixed image to the moving one: a displacement, then an affine transform."""

import dataclasses

import keras
import numpy as np

from app.systems.registration.grids import Grid, displaced, linear_displacement
from nets.ops.sample import sample


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
        matrix = self.to_moving @ self.grid.to_fixed
        field, to_grid = self.displacement, np.linalg.solve(self.grid.to_fixed, output.to_fixed)
        if output.shape == self.grid.shape and np.allclose(to_grid, np.eye(len(to_grid)), atol=1e-9):
            return linear_displacement(matrix, output.shape) if field is None else displaced(matrix, field)
        if field is None:
            return linear_displacement(matrix @ to_grid, output.shape)
        here = linear_displacement(to_grid, output.shape)
        here += keras.ops.convert_to_numpy(sample(field[None], here[None]))[0]
        return displaced(matrix, here)
