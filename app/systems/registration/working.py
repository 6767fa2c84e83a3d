"""The grid on which a pair is compared, and both images brought there."""

import keras
import numpy as np

from app.errors import UserError
from app.systems.registration.grids import Grid, inside_linear, linear_displacement
from nets.ops.sample import sample

ISOTROPIC = 1.1  # longest over shortest voxel side up to which a grid is taken as it is
COARSER = 2.0  # a slice's thickness over the working spacing, at most
MARGIN = 8  # voxels kept about what is not background
FINER, LEAST = 4.0, 8  # how much finer than the image's `working_mm` may be; voxels that it must leave
WORTH_CROPPING = 0.8  # of the voxels
SPACING = 0.05  # by how much a spacing may differ from that of a model's training


def working_grid(moving, fixed, working_mm=None, whole=False):
    """The grid for a registration without a model.

    The fixed image's own where its voxels are about cubes; else cubes along its axes, of the finest side, or of half
    the coarsest where slices are thick. Not finer than the moving image likewise. Empty margins are cut off.

    Args:
        moving: `Volume`.
        fixed: `Volume`.
        working_mm: Side of the cubes; None for the rule above.
        whole: Whether empty margins stay.

    Returns:
        `Grid`.

    Raises:
        UserError: If `working_mm` leaves hardly any voxels, or is far finer than those of the image.
    """
    spacing = np.array(fixed.spacing_mm)
    side = working_mm or max(_finest(fixed), _finest(moving))
    if working_mm is None and spacing.max() <= ISOTROPIC * spacing.min() and spacing.min() >= side / ISOTROPIC:
        factors = np.ones(fixed.array.ndim)
    else:
        factors = side / spacing
    extent = np.array(fixed.array.shape) * spacing
    finest, coarsest = spacing.min() / FINER, extent.min() / LEAST
    if working_mm is not None and not finest <= working_mm <= max(coarsest, spacing.max()):
        raise UserError(
            f"working_mm: {working_mm:g} does not suit voxels of {spacing.min():g} mm and an image of "
            f"{extent.min():g} mm; choose {finest:.2g} to {max(coarsest, spacing.max()):.2g}"
        )
    low, high = np.zeros(fixed.array.ndim, int), np.array(fixed.array.shape)
    if not whole:
        low, high = _bounds(fixed, np.ceil(MARGIN * factors).astype(int))
    return _grid_within(fixed, factors, low, high)


def model_grid(fixed, contract):
    """The grid for a registration by a network: voxels as in its training, as many, about the fixed image's middle.

    Args:
        fixed: `Volume`.
        contract: `RegistrationContract`.

    Returns:
        `Grid`; the fixed image's own where that has such voxels along such axes.
    """
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    rank = fixed.array.ndim
    order, flips = np.arange(rank), np.ones(rank)
    if contract.orientation and rank == 3:
        change = ornt_transform(io_orientation(fixed.affine), axcodes2ornt(contract.orientation))
        order[change[:, 0].astype(int)] = np.arange(rank)  # which axis of the fixed image each axis of the grid is
        flips = change[order, 1]
    spacing = np.array(contract.spacing_mm)
    usual = np.allclose(np.array(fixed.spacing_mm)[order], spacing, rtol=SPACING)
    if usual and np.array_equal(order, np.arange(rank)) and np.all(flips == 1):
        return Grid.of(fixed, fixed)
    turn = np.zeros((rank + 1, rank + 1))
    turn[order, np.arange(rank)] = flips * spacing / np.array(fixed.spacing_mm)[order]
    turn[-1, -1] = 1.0
    low, high = _bounds(fixed, 0)
    middle = (low + high - 1) / 2
    turn[:-1, -1] = middle - turn[:-1, :-1] @ ((np.array(contract.shape) - 1) / 2)
    return _placed(fixed, tuple(contract.shape), turn)


def on_grid(array, matrix, shape):
    """An image on another grid, its edge beyond it; averaged first where the grid is coarser.

    Args:
        array: `(i, j[, k])`.
        matrix: `(rank + 1, rank + 1)`, from voxels of the grid to voxels of the image.
        shape: Of the grid.

    Returns:
        Float32 array of the grid's shape.
    """
    array = np.asarray(array, "float32")
    if np.array_equal(matrix, np.eye(len(matrix))) and array.shape == tuple(shape):
        return array
    lengths = np.abs(matrix[:-1, :-1]).max(axis=1)  # of a voxel of the grid, along each axis of the image
    factors = np.maximum(1, np.minimum((lengths + 0.01).astype(int), np.array(array.shape) // 2))
    x = keras.ops.convert_to_tensor(array[None, ..., None])
    if np.any(factors > 1):
        box = tuple(int(factor) for factor in factors)
        x = keras.ops.average_pool(x, box, box, padding="valid")
        matrix = matrix.copy()
        matrix[:-1, -1] -= (factors - 1) / 2
        matrix[:-1] /= factors[:, None]
    read_at = linear_displacement(matrix, shape)
    return keras.ops.convert_to_numpy(sample(x, read_at[None]))[0, ..., 0]


def prepared(array, matrix, shape, fill):
    """An image in [0, 1] on the working grid.

    Args:
        array: `(i, j[, k])`.
        matrix: As of `on_grid`.
        shape: As of `on_grid`.
        fill: Whether it is 0 beyond its own grid, as in a network's training; else its edge goes on there, since a jump
            would pull at the voxels within.

    Returns:
        Float32 array `(*shape, 1)`.
    """
    image = on_grid(array, matrix, shape)
    if fill:
        image = np.where(inside_linear(array.shape, matrix, shape), image, 0.0)
    return image[..., None].astype("float32")


def _finest(volume):
    return max(min(volume.spacing_mm), max(volume.spacing_mm) / COARSER)


def _bounds(fixed, margin):
    """First and last voxel, plus one, of what is not background, with a margin; the whole where that is most of it."""
    array, shape = fixed.array, np.array(fixed.array.shape)
    marked = array != array.min()
    lines = [
        marked.any(axis=tuple(other for other in range(array.ndim) if other != axis)) for axis in range(array.ndim)
    ]
    low = np.array([np.argmax(line) for line in lines]) - margin
    high = np.array([len(line) - np.argmax(line[::-1]) for line in lines]) + margin
    low, high = np.maximum(low, 0), np.minimum(high, shape)
    if np.prod(high - low) > WORTH_CROPPING * np.prod(shape):
        return np.zeros_like(low), shape
    return low, high


def _grid_within(fixed, factors, low, high):
    """Voxels of `factors` times the fixed image's sides over a box of it."""
    shape = np.maximum(np.ceil((high - low) / factors - 1e-6).astype(int), 4)
    matrix = np.diag([*factors, 1.0])
    matrix[:-1, -1] = low - 0.5 + ((high - low) - (shape - 1) * factors) / 2
    if np.all(factors == 1) and np.all(shape == high - low):
        matrix[:-1, -1] = low
    return _placed(fixed, tuple(int(size) for size in shape), matrix)


def _placed(fixed, shape, to_fixed):
    kept = [*range(len(shape)), 3]
    embedded = np.eye(4)
    embedded[np.ix_(kept, kept)] = to_fixed
    affine = np.asarray(fixed.affine, float) @ embedded
    return Grid(shape, to_fixed, tuple(np.linalg.norm(affine[:3, : len(shape)], axis=0).tolist()), affine)
