"""Displacement fields in files: of ITK, of FreeSurfer, and in voxels as VoxelMorph's networks give them."""

from pathlib import Path

import numpy as np

from app.data.content import known_suffix
from app.data.read import read_vectors
from app.data.volume import Volume
from app.data.write import place_image, write_volume
from app.errors import UserError
from app.files import whole_file
from app.notes import note
from app.transforms.itk import SIGNS, write_itk_nifti
from app.transforms.transform import Field

VECTOR_INTENT = 1007
KINDS = ("itk", "ras", "voxel")
WRITTEN = {
    ".nii.gz": "itk",
    ".nii": "itk",
    ".mha": "itk",
    ".nrrd": "itk",
    ".mgz": "ras",
    ".mgh": "ras",
    ".npz": "voxel",
}


def read_field(path, kind=None):
    """Read a displacement field.

    Args:
        path: NIfTI, MGZ, MetaImage, NRRD or npz.
        kind: "itk" (vectors in LPS millimetres), "ras" (in RAS millimetres, FreeSurfer) or "voxel" (in voxels of the
            field); None where the file says it: itk for NIfTI with vector intent, MetaImage and NRRD, ras for MGZ,
            voxel for npz.

    Returns:
        `Field`.

    Raises:
        UserError: As `read_vectors`; if the kind is neither given nor said, or the components are not as many as axes.
    """
    path = Path(path)
    volume, content = read_vectors(path)
    array, affine = volume.array, np.asarray(volume.affine, float)
    kind = kind or _said(volume.header, content, path)
    flat, components = array.shape[2] == 1, array.shape[3]
    if components != 3 and not (flat and components == 2):
        raise UserError(f"{path}: {components} components a voxel; a displacement has 3, of a 2D image 2")
    if kind == "voxel":
        displacement = array[:, :, 0, :2] if flat else array
        return Field.of_voxels(displacement, affine)
    vectors = np.zeros((*array.shape[:3], 3), "float32")
    vectors[..., :components] = array
    if kind == "itk":
        vectors *= SIGNS
    return Field(vectors, affine, flat)


def _said(header, content, path):
    if content in ("meta", "nrrd"):
        return "itk"
    if content == "npz":
        return "voxel"
    if content == "mgh":
        note(
            f"{path}: displacements are taken to be RAS millimetres, as FreeSurfer "
            "writes them by --outras; `kind` can say others"
        )
        return "ras"
    if int(header["intent_code"]) == VECTOR_INTENT:
        return "itk"
    raise UserError(
        f"{path}: its header does not say in which convention its displacements are (no vector intent); set its kind: "
        "itk (LPS millimetres), ras (RAS millimetres) or voxel"
    )


def write_field(path, field, kind=None):
    """Write a displacement field.

    Args:
        path: `.nii`, `.nii.gz`, `.mgz`, `.mha`, `.nrrd` or `.npz`.
        field: `Field`.
        kind: As of `read_field`; None for the format's own.
    """
    suffix = known_suffix(Path(path))
    kind = kind or WRITTEN[suffix]
    if kind == "itk" and suffix.startswith(".nii"):
        return write_itk_nifti(path, field)
    vectors = field.vectors
    if kind == "itk":
        vectors = vectors * SIGNS
    elif kind == "voxel":
        vectors = vectors @ np.linalg.inv(field.affine[:3, :3]).T.astype("float32")
        vectors = vectors[:, :, 0, :2] if field.flat else vectors
    if suffix in (".mha", ".nrrd"):
        return _write_vectors(path, vectors, field)
    return write_volume(path, Volume(vectors, field.affine))


def _write_vectors(path, vectors, field):
    """ITK's own formats, as images of vectors."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(vectors.transpose(2, 1, 0, 3)), isVector=True)
    place_image(image, field.affine)
    with whole_file(path) as temporary:
        SimpleITK.WriteImage(image, str(temporary), useCompression=True)
