"""Whether a volume can be worked on: three axes, finite numbers, a place in space."""

import numpy as np

from app.data.geometry import usable
from app.errors import UserError, list_problems


def not_finite(array):
    """What is wrong with an image's numbers, in the 32 bits in which networks read them.

    Args:
        array: Of real numbers.

    Returns:
        List of one line, or none.
    """
    if array.dtype.kind != "f":  # whole numbers all are, and a copy of a CT costs
        return []
    with np.errstate(over="ignore"):
        bad = array.size - np.count_nonzero(np.isfinite(array.astype("float32", copy=False)))
    if not bad:
        return []
    return [f"{bad} voxels are NaN or infinite, read in 32 bits; replace them, e.g. by 0, or set nan: zero for NaN"]


def check_three_axes(volume):
    """See that a volume is one: three axes, finite numbers, a place in space.

    Args:
        volume: `Volume`.

    Raises:
        UserError: If it is not.
    """
    array, affine = volume.array, np.asarray(volume.affine, float)
    if array.ndim != 3:
        raise UserError(f"a {array.ndim}-dimensional image {array.shape}; expected a volume of three axes")
    if array.dtype.kind not in "iufb":
        raise UserError(f"voxels of type {array.dtype}; expected real numbers")
    list_problems(not_finite(array))
    if not usable(affine):
        raise UserError("the affine is singular: the file does not say how the volume lies; correct its header")
