"""Affine transforms as files that other programs read: text of ITK, as ANTs, SimpleITK and 3D Slicer write it."""

from pathlib import Path

import numpy as np

from app.errors import UserError
from app.files import whole_file
from app.strangers import regular_file

SUFFIXES = (".tfm", ".txt", ".mat")
MOST_BYTES = 2**20
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
REMEDY = "give a linear transform that ITK, ANTs or this program wrote (.tfm, .txt or .mat), or a kind of alignment"


def read_affine(path):
    """Read an affine transform of three dimensions.

    Args:
        path: File of ITK: any linear transform, or several of them one after the other.

    Returns:
        `(4, 4)`, RAS millimetres of the fixed image to those of the moving one.

    Raises:
        UserError: If it is missing, unreadable, not linear, or not of three dimensions.
    """
    import SimpleITK

    path = Path(path)
    regular_file(path, "affine transform, nor a kind of alignment")
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: unknown format of an affine transform; {REMEDY}")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path}: too large for an affine transform; {REMEDY}")
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        transform = SimpleITK.ReadTransform(str(path))
    except RuntimeError:
        raise UserError(f"{path}: cannot be read as a transform; {REMEDY}") from None
    if transform.GetDimension() != 3 or not transform.IsLinear():
        raise UserError(f"{path}: {transform.GetDimension()}D, {transform.GetName()}; {REMEDY}")
    matrix = linear_matrix(transform)
    if not np.all(np.isfinite(matrix)) or abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
        raise UserError(f"{path}: its matrix is not finite, or flat; {REMEDY}")
    return matrix


def linear_matrix(transform):
    """The matrix of a linear transform of SimpleITK.

    Args:
        transform: SimpleITK transform of three dimensions.

    Returns:
        `(4, 4)`, in RAS millimetres.
    """
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, :3] = np.transpose([np.array(transform.TransformPoint(tuple(row))) - origin for row in np.eye(3)])
    matrix[:3, 3] = origin
    return LPS @ matrix @ LPS


def write_affine(path, matrix):
    """Write an affine transform for ITK.

    Args:
        path: `.tfm`.
        matrix: `(4, 4)`, RAS millimetres of the fixed image to those of the moving one.
    """
    import SimpleITK

    matrix = LPS @ matrix @ LPS
    transform = SimpleITK.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    with whole_file(path) as temporary:
        SimpleITK.WriteTransform(transform, str(temporary))
