"""An image in memory: an array, and the affine that places it in the scanner."""

import dataclasses

import numpy as np

from app.data.geometry import on_one_grid


@dataclasses.dataclass(frozen=True)
class Volume:
    """An image.

    Args:
        array: `(i, j)` or `(i, j, k)`.
        affine: `(4, 4)`, voxel index to RAS millimetres.
        header: nibabel header of the file, or None.
    """

    array: np.ndarray
    affine: np.ndarray
    header: object = None

    @property
    def spacing_mm(self):
        """Voxel size along each axis of the array."""
        return tuple(float(x) for x in np.linalg.norm(self.affine[:3, : self.array.ndim], axis=0))

    def same_grid(self, other, names=None):
        """Whether another volume has its voxels in the same places: see `on_one_grid`."""
        return on_one_grid(self, other, names)
