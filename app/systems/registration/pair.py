"""A pair that is placed and prepared: what is registered, and what results are written from."""

import dataclasses

import numpy as np

from app.systems.registration.grids import Grid, inside_linear
from app.systems.registration.place import Placement
from app.systems.registration.placed import Warp
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
    def of(cls, volumes, placement, by_header, grid, images, fill):
        """Bring a placed pair to a grid.

        Args:
            volumes: As of the class.
            placement: `Placement` to use.
            by_header: `Placement` by the headers alone.
            grid: `Grid`.
            images: Dict of `moving` and `fixed`: the volumes' arrays in [0, 1].
            fill: As of `prepared`.
        """
        to_moving, to_fixed = placement.to_moving @ grid.to_fixed, grid.to_fixed
        moving = prepared(images["moving"], to_moving, grid.shape, fill)
        fixed = prepared(images["fixed"], to_fixed, grid.shape, fill)
        unaligned = moving
        if placement.aligned:
            unaligned = prepared(images["moving"], by_header.to_moving @ grid.to_fixed, grid.shape, fill)
        within = inside_linear(images["moving"].shape, to_moving, grid.shape)
        within &= inside_linear(images["fixed"].shape, to_fixed, grid.shape)
        return cls(volumes, placement, grid, moving, fixed, unaligned, within[..., None].astype("float32"))

    def warp(self, displacement):
        """From the fixed image to the moving one.

        Args:
            displacement: Array `(*grid.shape, rank)`, in voxels of the grid; None for the placement alone.
        """
        return Warp(self.grid, displacement, self.placement.to_moving)
