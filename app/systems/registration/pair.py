"""A pair that is placed and prepared: what is registered, and what results are written from."""

import dataclasses

import numpy as np

from app.systems.registration.place import Placement
from app.systems.registration.placed import Grid, Warp
from app.systems.registration.working import prepared


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two images on one grid.

    Args:
        volumes: Dict of `moving` and `fixed`, and perhaps `moving_labels` and `fixed_labels`, `Volume`s.
        placement: `Placement`.
        grid: `Grid` on which they are compared.
        moving: Array `(*grid.shape, 1)` in [0, 1]: the moving image there.
        fixed: Array of the same shape.
        unaligned: The moving image by the headers alone, of the same shape.
        weights: Array of the same shape: 1 where both images are, 0 elsewhere.
    """

    volumes: dict
    placement: Placement
    grid: Grid
    moving: np.ndarray
    fixed: np.ndarray
    unaligned: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, volumes, placement, by_header, grid, unit_range, fill):
        """Bring a placed pair to a grid; see `prepared`."""
        moving, fixed, weights = prepared(volumes, placement.to_moving, grid, unit_range, fill)
        unaligned = moving
        if placement.computed:
            unaligned = prepared(volumes, by_header.to_moving, grid, unit_range, fill)[0]
        return cls(volumes, placement, grid, moving, fixed, unaligned, weights)

    def warp(self, displacement):
        """From the fixed image to the moving one.

        Args:
            displacement: Array `(*grid.shape, rank)`, in voxels of the grid; None for the placement alone.
        """
        return Warp(self.grid, displacement, self.placement.to_moving)
