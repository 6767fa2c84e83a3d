"""Surfaces of masks in pieces with areas, after Nikolov et al.: surface Dice and Hausdorff distance that weigh by area.

A piece lies on a corner between voxels; how large it is, the 8 voxels about the corner decide (4 in 2D).

Reference:
    - Nikolov et al., Deep learning to achieve clinically applicable segmentation of head and neck anatomy, 2018, and
      DeepMind's package surface-distance, whose numbers these are.
"""

import functools
import itertools

import numpy as np


@functools.lru_cache(maxsize=64)
def piece_sizes(spacing_mm):
    """Area (length, in 2D) of the piece of surface at a corner, for each pattern of the voxels about it.

    Args:
        spacing_mm: Tuple of voxel sizes, 2 or 3.

    Returns:
        Float array of 256 (16); patterns count the voxels of `_patterns`. A pattern and its opposite have one size.
    """
    rank = len(spacing_mm)
    count = 2**rank
    sizes = np.zeros(2**count)
    for pattern in range(1, 2**count - 1):
        few = pattern if pattern.bit_count() <= count // 2 else 2**count - 1 - pattern
        cells = np.array([few >> place & 1 for place in range(count)], float).reshape((2,) * rank)
        sizes[pattern] = (_area if rank == 3 else _length)(cells, spacing_mm)
    return sizes


def _area(cells, spacing_mm):
    from skimage.measure import marching_cubes

    vertices, faces, *_ = marching_cubes(cells, 0.5, spacing=spacing_mm, method="lorensen")
    corners = vertices[faces]
    sides = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.linalg.norm(sides, axis=1).sum() / 2


def _length(cells, spacing_mm):
    diagonal = np.hypot(*spacing_mm) / 2
    if cells.sum() == 1:
        return diagonal
    if cells[0, 0] == cells[1, 1]:
        return 2 * diagonal
    return spacing_mm[1] if cells[0, 0] == cells[0, 1] else spacing_mm[0]


def _patterns(mask):
    """For each corner of the voxels the pattern of those about it; the mask has an empty margin."""
    shape = np.array(mask.shape) - 1
    patterns = np.zeros(shape, np.uint8)
    for place, offset in enumerate(itertools.product((0, 1), repeat=mask.ndim)):
        part = tuple(slice(start, start + size) for start, size in zip(offset, shape, strict=True))
        patterns |= mask[part].astype(np.uint8) << np.uint8(place)
    return patterns


def surface_distances(fixed, moved, spacing_mm):
    """Distances between two surfaces, piece by piece.

    Args:
        fixed: Boolean array `(i, j[, k])`.
        moved: Boolean array of the same shape.
        spacing_mm: Voxel size along each axis.

    Returns:
        Two pairs of arrays, distances in mm and sizes of the pieces: of the fixed mask's surface to the other's, and of
        the other's to it. Distances are infinite where the other mask is empty.
    """
    from scipy.ndimage import distance_transform_edt, find_objects

    spacing_mm = tuple(float(side) for side in spacing_mm)
    box = find_objects((fixed | moved).astype(np.uint8))
    if not box:
        return ((np.zeros(0), np.zeros(0)),) * 2
    full, sizes = 2 ** (2 ** len(spacing_mm)) - 1, piece_sizes(spacing_mm)
    patterns = [_patterns(np.pad(mask[box[0]], 1)) for mask in (fixed, moved)]
    borders = [(pattern != 0) & (pattern != full) for pattern in patterns]
    results = []
    for own, other, pattern in ((0, 1, patterns[0]), (1, 0, patterns[1])):
        if borders[other].any():
            apart = distance_transform_edt(~borders[other], sampling=spacing_mm)[borders[own]]
        else:
            apart = np.full(np.count_nonzero(borders[own]), np.inf)
        results.append((apart, sizes[pattern[borders[own]]]))
    return tuple(results)


def surface_dice(distances, tolerance_mm):
    """Share of both surfaces, by area, that lies within a tolerance of the other.

    Args:
        distances: Of `surface_distances`.
        tolerance_mm: Distance that counts as agreement.

    Returns:
        Float in [0, 1]; NaN where both masks are empty.
    """
    total = sum(sizes.sum() for _, sizes in distances)
    near = sum(sizes[apart <= tolerance_mm].sum() for apart, sizes in distances)
    return float(near / total) if total else float("nan")


def robust_hausdorff(distances, percent=95.0):
    """The larger of the two percentiles, by area, of the distances to the other surface.

    Args:
        distances: Of `surface_distances`.
        percent: Which percentile.

    Returns:
        Float in mm; infinite where one mask is empty, NaN where both are.
    """
    if not any(len(apart) for apart, _ in distances):
        return float("nan")
    return float(np.max([_percentile(*each, percent) for each in distances]))


def _percentile(apart, sizes, percent):
    if not len(apart):
        return np.inf
    order = np.argsort(apart, kind="stable")
    share = np.cumsum(sizes[order]) / sizes.sum()
    return apart[order][min(np.searchsorted(share, percent / 100.0), len(apart) - 1)]
