"""Volumes whose axes are not at right angles, on a grid whose axes are.

A gantry tilt, an affine registration or a rounded header shears the voxels. ITK, and with it 3D Slicer, takes no such
grid, and networks see no angles: what is read is resampled once, and all results lie on the grid that it then has.
"""

import dataclasses
import itertools

import numpy as np
from scipy.ndimage import affine_transform

from app.data.geometry import ALLOWED_VOX, SAID_VOX, corner_distance
from app.errors import UserError
from app.notes import note

MOST = 4  # times as many voxels


def orthogonal_affine(affine):
    """The affine of right angles that keeps the first axis and the planes of the first two.

    So the slices of a tilted gantry stay slices, moved within their planes.

    Args:
        affine: `(4, 4)`, voxel index to RAS millimetres, not flat.

    Returns:
        `(4, 4)`: the same first voxel; the spacing of slices is the distance between their planes.

    Reference:
        - Gram-Schmidt orthogonalisation of the columns, by QR.
    """
    directions, lengths = np.linalg.qr(affine[:3, :3])
    orthogonal = np.array(affine, float)
    orthogonal[:3, :3] = directions * np.diag(lengths)
    return orthogonal


def on_orthogonal_grid(volume, name, nearest=False):
    """A volume on a grid of right angles.

    Args:
        volume: `Volume` of three axes and a usable affine; others are returned as they are.
        name: Of the file, for the note.
        nearest: Whether values are labels: the nearest is taken. Otherwise linear, rounded for whole numbers.

    Returns:
        `Volume`: itself where its corners are at most 0.05 voxels off such a grid (that grid's affine is taken where
        they are more than 0.001 off). Beyond the volume lies its smallest value, or label 0.

    Raises:
        UserError: If the axes are so far from right angles that the grid would hold four times the voxels.
    """
    shape = volume.array.shape[:3]
    if volume.array.ndim != 3 or volume.array.dtype.kind not in "iufb":
        return volume
    affine = np.asarray(volume.affine, float)
    target = orthogonal_affine(affine)
    distance = corner_distance(shape, affine, target)
    if not SAID_VOX < distance < np.inf:
        return volume
    if distance <= ALLOWED_VOX:
        note(
            f"{name}: its axes are not quite at right angles ({distance:.3f} voxels at a corner); taken as if they were"
        )
        return dataclasses.replace(volume, affine=target)
    wanted = _move_to_hold(target, affine, shape, name)
    array = _resampled(volume.array, np.linalg.inv(affine) @ target, wanted, nearest)
    note(
        f"{name}: its axes are not at right angles ({distance:.1f} voxels at a corner); resampled to a grid of "
        f"{' x '.join(map(str, wanted))} voxels whose axes are, on which results lie"
    )
    return dataclasses.replace(volume, array=array, affine=target)


def _move_to_hold(target, affine, shape, name):
    """Move the origin of a grid so that it holds a volume; its size in voxels."""
    corners = np.array([[*corner, 1.0] for corner in itertools.product(*((0, size - 1) for size in shape))]).T
    reached = (np.linalg.inv(target) @ affine @ corners)[:3]
    first = np.floor(reached.min(axis=1) + SAID_VOX)
    wanted = (np.ceil(reached.max(axis=1) - SAID_VOX) - first + 1).astype(int)
    if np.prod(wanted, dtype=float) > MOST * np.prod(shape, dtype=float):
        raise UserError(
            f"{name}: its axes are far from right angles, which no scanner makes; correct its header's affine"
        )
    target[:3, 3] += target[:3, :3] @ first
    return wanted


def _resampled(array, pull, shape, nearest):
    """An array on another grid, of its own type; `pull` leads from the new voxels to the old."""
    beyond = 0 if nearest else array.min()
    # float64 holds every integer of up to 53 bits, float32 not those of a 32-bit image
    precise = array.astype("float32" if array.dtype.kind == "f" or array.dtype.itemsize < 3 else "float64")
    moved = affine_transform(
        precise,
        pull[:3, :3],
        pull[:3, 3],
        tuple(shape),
        order=0 if nearest else 1,
        mode="constant",
        cval=float(beyond),
    )
    if array.dtype.kind != "f":
        moved = np.rint(moved)
    return moved.astype(array.dtype)
