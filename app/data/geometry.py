"""Where a voxel is: the one module that says so, for every reader, writer and check.

Affines are `(4, 4)`, voxel index to RAS millimetres.
"""

import itertools

import numpy as np

from app.errors import UserError
from app.notes import note

ALLOWED_VOX, SAID_VOX = 0.05, 0.001
MILLIMETRES = {"unknown": 1.0, "meter": 1000.0, "mm": 1.0, "micron": 0.001}
ROUNDED = 3 * float(np.finfo("float32").eps)  # nibabel's own bound
LONG_QUATERNION = 1e-3  # by how much the square of its length may pass 1


def corner_distance(shape, affine, other):
    """How far two grids of one shape are apart.

    Args:
        shape: Voxels along each axis, 2 or 3.
        affine: `(4, 4)` of the one.
        other: `(4, 4)` of the other.

    Returns:
        The largest distance between corresponding corners, in voxels of the first; infinite if either does not
        say where its voxels are.
    """
    ends = [(0, size - 1) for size in shape] + [(0,)] * (3 - len(shape))
    corners = np.array([[*corner, 1.0] for corner in itertools.product(*ends)])
    if not usable(affine) or not usable(other):
        return float("inf")
    apart = (corners @ (np.asarray(other, float) - np.asarray(affine, float)).T)[:, :3]
    return float(np.linalg.norm(np.linalg.solve(np.asarray(affine, float)[:3, :3], apart.T), axis=0).max())


def affine_of_axes(axes, origin, to_ras=(-1.0, -1.0, 1.0)):
    """The affine of a header that says each axis' step as a vector.

    Args:
        axes: `(n, n)`, one row per axis of the array: the step from a voxel to the next, in mm.
        origin: `(n,)`, the first voxel's place.
        to_ras: Signs that turn the header's space into RAS; those of LPS by default.

    Returns:
        `(4, 4)`; axes and places beyond the third are left out.
    """
    affine = np.eye(4)
    size = min(len(axes), 3)
    affine[:size, :size] = np.asarray(axes, float)[:size, :size].T
    affine[:size, 3] = np.asarray(origin, float)[:size]
    affine[:3] *= np.asarray(to_ras)[:, None]
    return affine + 0.0  # no -0


def usable(affine):
    """Whether an affine says where voxels are: finite, and not flat."""
    matrix = np.asarray(affine, float)[:3, :3]
    if not np.all(np.isfinite(affine)):
        return False
    lengths = np.linalg.norm(matrix, axis=0)
    return bool(np.all(lengths > 1e-6) and np.all(lengths < 1e6) and abs(np.linalg.det(matrix / lengths)) > 1e-3)


def on_one_grid(volume, other, names=None):
    """Whether two volumes have their voxels in the same places.

    Args:
        volume: `Volume`.
        other: `Volume`.
        names: Two names; where the grids differ by rounding only, that is said of them.

    Returns:
        Bool: the same shape, and corners at most 0.05 voxels apart.
    """
    if volume.array.shape != other.array.shape:
        return False
    distance = corner_distance(volume.array.shape, volume.affine, other.affine)
    if SAID_VOX < distance <= ALLOWED_VOX and names:
        note(f"{names[0]}: lies {distance:.3f} voxels off the grid of {names[1]}; taken for the same grid")
    return distance <= ALLOWED_VOX


def nifti_affine(header, shape, name):
    """The affine of a NIfTI file: of its two forms the one that counts, in millimetres.

    Where sform and qform differ by more than 0.05 voxels the one of the higher code is taken, the sform on a tie;
    that is said, since other programs may take the other. Without either, voxels lie where the header's sizes
    put them.

    Args:
        header: `nibabel.Nifti1Header`.
        shape: Of the image, its first three axes or fewer.
        name: Of the file, for messages.

    Returns:
        `(4, 4)`.

    Raises:
        UserError: If the form that counts is not finite or is flat.

    Reference:
        - The NIfTI-1 header's comments on `qform_code`, `sform_code`, `pixdim[0]` and `xyzt_units`.
    """
    unit, _ = _units(header)
    scale = MILLIMETRES[unit]
    codes = {"sform": int(header["sform_code"]), "qform": int(header["qform_code"])}
    forms = {}
    if codes["sform"] > 0:
        forms["sform"] = header.get_sform()
    if codes["qform"] > 0 and (qform := _qform(header, name)) is not None:
        forms["qform"] = qform
    if not forms and codes["qform"] > 0:
        raise UserError(
            f"{name}: the quaternion of its qform is no rotation, and there is no sform; correct its header"
        )
    if not forms:
        affine = header.get_base_affine()
        note(f"{name}: its header does not say how it lies in space; voxels are taken to lie along right, front, up")
    else:
        chosen = max(forms, key=lambda form: codes[form])  # of equal codes the first, the sform
        affine = forms[chosen]
        if len(forms) == 2:
            distance = corner_distance(shape, affine, forms["qform" if chosen == "sform" else "sform"])
            if distance > ALLOWED_VOX:
                note(
                    f"{name}: its sform (code {codes['sform']}) and qform (code {codes['qform']}) are {distance:.2f} "
                    f"voxels apart; the {chosen} is taken, and both forms of what is written say so"
                )
    affine = np.asarray(affine, float).copy()
    if scale != 1.0:
        affine[:3] *= scale
        note(f"{name}: lengths are in {unit}s; turned to millimetres")
    if not usable(affine):
        raise UserError(
            f"{name}: its header does not say where its voxels are (the affine is not finite, or flat); correct its "
            "sform or qform"
        )
    return affine


def _units(header):
    """Units of length and time; codes that the standard does not know count as unknown."""
    try:
        return header.get_xyzt_units()
    except KeyError:
        return "unknown", "unknown"


def _qform(header, name):
    """The qform; None where its quaternion is no rotation. nibabel refuses one that is too long by rounding."""
    tolerant = header.copy()
    tolerant.quaternion_threshold = LONG_QUATERNION
    try:
        form = tolerant.get_qform()
    except ValueError:
        note(f"{name}: the quaternion of its qform is no rotation; the qform is left out")
        return None
    if sum(float(header[f"quatern_{part}"]) ** 2 for part in "bcd") > 1.0 + ROUNDED:
        note(f"{name}: the quaternion of its qform is longer than 1 by rounding; taken as one of length 1")
    return form


def set_nifti_affine(header, affine):
    """Write an affine into both forms of a NIfTI header, in millimetres.

    The qform holds no shear: of a sheared affine it is the nearest without.

    Args:
        header: `nibabel.Nifti1Header`, changed in place.
        affine: `(4, 4)`.
    """
    code = max(int(header["sform_code"]), int(header["qform_code"]), 1)
    header.set_xyzt_units("mm", _units(header)[1])
    header.set_qform(affine, code, strip_shears=True)
    header.set_sform(affine, code)
