"""Images written to files, whole or not at all."""

import dataclasses
from pathlib import Path

import numpy as np

from app.data.content import known_suffix
from app.data.geometry import set_nifti_affine
from app.data.header_fields import plain
from app.errors import UserError
from app.files import whole_file


def write_volume(path, volume):
    """Write an image file, whole or not at all.

    Args:
        path: The suffix decides on the format: as for `read_volume`, but one file.
        volume: `Volume`. Its header is kept where the format is the header's own.

    Raises:
        UserError: If the format is unknown, or cannot hold the values.
    """
    path = Path(path)
    suffix = known_suffix(path)
    if suffix not in WRITERS:
        raise UserError(f"{path}: images are not written so; name it {', '.join(WRITERS)}")
    volume = dataclasses.replace(volume, array=plain(volume.array, path))
    with whole_file(path) as temporary:
        WRITERS[suffix](temporary, volume)


def itk_image(volume):
    """A volume as an image of SimpleITK, where it lies.

    Args:
        volume: `Volume`.
    """
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(volume.array.T))
    place_image(image, volume.affine)
    return image


def place_image(image, affine):
    """Put an image of SimpleITK where its voxels lie.

    Args:
        image: SimpleITK image of 2 or 3 axes, changed in place.
        affine: `(4, 4)`, voxel to RAS millimetres.
    """
    rank = image.GetDimension()
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:rank, :rank], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:rank, :rank] / spacing).ravel().tolist())
    image.SetOrigin(lps[:rank, 3].tolist())


def _write_itk(path, volume):
    import SimpleITK

    SimpleITK.WriteImage(itk_image(volume), str(path), useCompression=True)


def _write_nifti(path, volume):
    import nibabel

    own = isinstance(volume.header, nibabel.Nifti1Header)
    header = volume.header.copy() if own else nibabel.Nifti1Header()
    header.set_data_dtype(volume.array.dtype)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_min"], header["cal_max"] = 0, 0
    set_nifti_affine(header, volume.affine)
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    nibabel.save(kind(volume.array, None, header), path)


def _write_mgh(path, volume):
    import nibabel

    array = volume.array
    if array.dtype.kind == "f":
        array = array.astype("float32")
    elif array.dtype.name not in ("uint8", "int16", "int32"):
        if array.min() < -(2**31) or array.max() >= 2**31:
            raise UserError(f"{path}: values beyond 32 bits, which MGH does not hold; name it .nii.gz")
        array = array.astype("int32")
    header = volume.header.copy() if isinstance(volume.header, nibabel.freesurfer.mghformat.MGHHeader) else None
    if header is not None:
        header.set_data_dtype(array.dtype)
    nibabel.save(nibabel.MGHImage(array, volume.affine, header), path)


def _write_npz(path, volume):
    np.savez_compressed(path, vol=volume.array, affine=volume.affine)


WRITERS = {
    ".nii.gz": _write_nifti,
    ".nii": _write_nifti,
    ".mgz": _write_mgh,
    ".mgh": _write_mgh,
    ".mha": _write_itk,
    ".nrrd": _write_itk,
    ".npz": _write_npz,
}
