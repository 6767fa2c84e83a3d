"""Linear transforms of programs other than ITK: FreeSurfer's LTA, FSL's matrices, plain matrices of greedy and c3d.

nitransforms carries the first two.
"""

import numpy as np

from app.errors import UserError
from app.files import user_text, write_text
from app.transforms.transform import Linear

MOST_BYTES = 2**20
REMEDY = "restore it, or write the transform again"


def read_lta(path):
    """Read a `.lta` of FreeSurfer: RAS to RAS, or voxel to voxel, from the moving image to the fixed one.

    Args:
        path: File.

    Returns:
        `Linear`.

    Raises:
        UserError: If it is damaged, of a type that is not read, or holds several transforms.
    """
    from nitransforms.io.lta import FSLinearTransformArray

    text = user_text(path, MOST_BYTES, REMEDY)
    try:
        matrices = FSLinearTransformArray.from_string(text).to_ras()
    except Exception as error:  # nitransforms asserts, and lets NumPy raise
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise UserError(
            f"{path}: cannot be read as an LTA of type RAS to RAS or voxel to voxel ({reason}); {REMEDY}"
        ) from None
    if len(matrices) != 1:
        raise UserError(f"{path}: {len(matrices)} transforms; give a file of one")
    return Linear(np.array(matrices[0], float))


def write_lta(path, linear, moving, fixed):
    """Write a `.lta` of type RAS to RAS.

    Args:
        path: File.
        linear: `Linear`.
        moving: `Volume`, or None where it is not known.
        fixed: `Volume`.
    """
    from nitransforms.io.lta import FSLinearTransform, FSLinearTransformArray

    whole = FSLinearTransformArray()
    whole.structarr["type"], whole.structarr["nxforms"] = 1, 1
    # nitransforms calls the source of its points "reference": LTA has the moving image as its source
    part = FSLinearTransform.from_ras(linear.matrix, moving=_image(fixed), reference=_image(moving or fixed))
    part.structarr["type"] = 1
    whole._xforms = [part]
    write_text(path, whole.to_string())


def read_fsl(path, moving, fixed):
    """Read a matrix of FSL's FLIRT, which speaks of scaled voxels of its two images.

    Args:
        path: File.
        moving: `Volume` that was given to FLIRT as `-in`.
        fixed: `Volume` that was given as `-ref`.

    Returns:
        `Linear`.

    Raises:
        UserError: If it is no matrix of 4 x 4.
    """
    from nitransforms.io.fsl import FSLLinearTransform

    _square(path)
    transform = FSLLinearTransform.from_string(user_text(path, MOST_BYTES, REMEDY))
    return Linear(np.array(transform.to_ras(moving=_image(moving), reference=_image(fixed)), float))


def write_fsl(path, linear, moving, fixed):
    """Write a matrix of FSL's FLIRT.

    Args:
        path: File.
        linear: `Linear`.
        moving: `Volume`.
        fixed: `Volume`.
    """
    from nitransforms.io.fsl import FSLLinearTransform

    write_text(path, FSLLinearTransform.from_ras(linear.matrix, _image(moving), _image(fixed)).to_string())


def read_matrix(path):
    """Read a plain matrix of greedy or c3d: RAS millimetres, fixed to moving.

    Args:
        path: Text of 4 x 4 numbers.

    Returns:
        `Linear`.

    Raises:
        UserError: If it is none.
    """
    return Linear(_square(path))


def write_matrix(path, linear):
    """Write a plain matrix, RAS millimetres, fixed to moving.

    Args:
        path: Text file.
        linear: `Linear`.
    """
    write_text(path, "".join(" ".join(f"{value:.17g}" for value in row) + "\n" for row in linear.matrix))


def _square(path):
    text = user_text(path, MOST_BYTES, REMEDY)
    try:
        matrix = np.array([[float(word) for word in line.split()] for line in text.splitlines() if line.strip()])
    except ValueError:
        matrix = np.zeros(0)
    if matrix.shape != (4, 4) or not np.allclose(matrix[3], [0, 0, 0, 1]):
        raise UserError(f"{path}: expected 4 lines of 4 numbers, the last 0 0 0 1; {REMEDY}")
    return matrix


def _image(volume):
    """A header for nitransforms, which reads shape and affine of images alone."""
    import nibabel

    shape = (*volume.array.shape, 1)[:3]
    return nibabel.Nifti1Image(np.broadcast_to(np.uint8(0), shape), np.asarray(volume.affine, float))
