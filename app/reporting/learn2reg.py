"""The measures of the Learn2Reg challenge to the letter, beside which ours stand.

They differ from ours: SDlogJ adds 3 to each Jacobian determinant before its logarithm; distances of surfaces are in
voxels and weighed by area; a map is warped by the nearest voxel of the displaced grid.

Reference:
    - Learn2Reg's evaluation.py and utils.py.
"""

import re

import numpy as np

from app.errors import UserError
from app.reporting.surfels import robust_hausdorff, surface_distances

CROP = 2
NUMBER = re.compile(r"(\d{4})(?:_\d{4})?$")
EVERY = 0.30  # of the pairs: Dice30 is the quantile that so many are below


def literal_measures(displacement, moving_labels, fixed_labels):
    """Dice, HD95 and SDlogJ as the challenge computes them.

    Args:
        displacement: Array `(i, j, k, 3)`, in voxels.
        moving_labels: Integer array `(i, j, k)`.
        fixed_labels: Integer array of the same shape.

    Returns:
        Dict of `l2r_dice`, `l2r_hd95` (voxels) and `l2r_sdlogj`.
    """
    from scipy.ndimage import map_coordinates

    identity = np.stack(np.meshgrid(*map(np.arange, displacement.shape[:3]), indexing="ij"), axis=0)
    moved = map_coordinates(moving_labels, identity + np.moveaxis(displacement, -1, 0), order=0)
    dice, far = [], []
    for label in np.unique(fixed_labels)[1:]:
        if not (moving_labels == label).any():
            continue
        fixed, warped = fixed_labels == label, moved == label
        dice.append(2.0 * (fixed & warped).sum() / (fixed.sum() + warped.sum()))
        if warped.any():
            far.append(robust_hausdorff(surface_distances(fixed, warped, (1.0, 1.0, 1.0))))
    return {
        "l2r_dice": float(np.mean(dice)) if dice else None, "l2r_hd95": float(np.mean(far)) if far else None,
        "l2r_sdlogj": literal_sdlogj(displacement),
    }  # fmt: skip


def literal_sdlogj(displacement):
    """Standard deviation of `log(determinant + 3)`, central differences, two voxels cut off each side.

    Args:
        displacement: Array `(i, j, k, 3)`, in voxels.

    Returns:
        Float.
    """
    field = np.moveaxis(np.asarray(displacement, float), -1, 0)
    slopes = np.stack([np.gradient(part, axis=(0, 1, 2)) for part in field])  # [component, axis, i, j, k]
    jacobian = np.moveaxis(slopes, (0, 1), (-2, -1)) + np.eye(3)
    inner = (slice(CROP, -CROP),) * 3
    determinant = np.linalg.det(jacobian[inner])
    return float(np.log(np.clip(determinant + 3.0, 1e-9, 1e9)).std())


def dice30(values):
    """The Dice that 30 % of the pairs are below.

    Args:
        values: Over pairs.

    Returns:
        Float.
    """
    return float(np.quantile(values, EVERY))


def submission_name(pair):
    """Name of a displacement in a folder that is submitted.

    Args:
        pair: `app.data.manifest.PairFiles`.

    Returns:
        `disp_FIXED_MOVING.nii.gz`, with the cases' numbers of four digits.

    Raises:
        UserError: If the images' names do not end in such numbers.
    """
    numbers = []
    for path in (pair.fixed, pair.moving):
        match = NUMBER.search(re.sub(r"\.nii(\.gz)?$", "", path.name))
        if match is None:
            raise UserError(
                f"{path}: its name has no case number of four digits at its end, by which Learn2Reg names "
                "displacements; rename it, such as IMG_0395_0000.nii.gz"
            )
        numbers.append(match[1])
    return f"disp_{numbers[0]}_{numbers[1]}.nii.gz"
