"""Displacements as files that other programs read."""

import numpy as np

from app.data.geometry import set_nifti_affine
from app.files import whole_file
from app.finite import check_finite

RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])


def write_displacement(path, displacement, affine):
    """Write a displacement in ITK's convention (ANTs, SimpleITK, 3D Slicer).

    A 5-D NIfTI `(i, j, k, 1, 3)`, of an axial 2D image `(i, j, 1, 1, 2)` as ITK has it, with vector intent:
    for each voxel of the fixed image the vector, in LPS millimetres, to where the moving image is to be read.

    Args:
        path: `.nii` or `.nii.gz`.
        displacement: Array `(i, j[, k], rank)`, in voxels.
        affine: `(4, 4)` of the fixed image, voxel to RAS millimetres.

    Raises:
        UserError: If a number of it is not finite.
    """
    import nibabel

    rank = displacement.shape[-1]
    check_finite(displacement, path)
    turn = (np.asarray(affine)[:3, :rank].T * RAS_TO_LPS).astype("float32")
    components = 2 if rank == 2 and not np.any(turn[:, 2]) else 3
    vectors = np.empty((*displacement.shape[:-1], components), "float32")
    for plane, voxels in zip(vectors, displacement, strict=True):  # the whole at once would be copied once more
        plane[...] = voxels @ turn[:, :components]
    shape = (*displacement.shape[:-1], *[1] * (4 - rank), components)
    header = nibabel.Nifti1Header()
    header.set_data_dtype("float32")
    header.set_data_shape(shape)
    header.set_intent("vector")
    set_nifti_affine(header, np.asarray(affine))
    image = nibabel.Nifti1Image(vectors.reshape(shape), None, header)
    with whole_file(path) as temporary:
        nibabel.save(image, temporary)
