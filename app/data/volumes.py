"""Image files in memory: an array, and the affine that places it in the scanner."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from app.data.content import content_to_read, known_suffix
from app.data.geometry import on_one_grid, set_nifti_affine, usable
from app.data.header_fields import plain
from app.data.metaimage import meta_stored
from app.data.nifti import mgh_stored, nifti_pair_stored, nifti_stored
from app.data.npz import read_npz
from app.data.nrrd import nrrd_stored
from app.data.orthogonal import on_orthogonal_grid
from app.data.stored import read_voxels
from app.errors import UserError, list_problems
from app.files import whole_file
from app.notes import note

ROUNDING = 0.01  # how far a label may lie from a whole number


@dataclasses.dataclass(frozen=True)
class Volume:
    """An image.

    Args:
        array: `(i, j)` or `(i, j, k)`.
        affine: `(4, 4)`, voxel index to RAS millimetres.
        header: nibabel header of the file, or None.
    """

    array: np.ndarray
    affine: np.ndarray
    header: object = None

    @property
    def spacing_mm(self):
        """Voxel size along each axis of the array."""
        return tuple(float(x) for x in np.linalg.norm(self.affine[:3, : self.array.ndim], axis=0))

    def same_grid(self, other, names=None):
        """Whether another volume has its voxels in the same places: see `on_one_grid`."""
        return on_one_grid(self, other, names)


def read_volume(path, nan="refuse", nearest=False):
    """Read an image file.

    Its content says what a file is, whatever its name. Headers are checked before voxels are read: see
    `app.data.stored`.

    Args:
        path: NIfTI (.nii, .nii.gz, .hdr with .img), MGZ (.mgz, .mgh), MetaImage (.mha, .mhd), NRRD (.nrrd, .nhdr), a
            DICOM series (its folder, one file of many frames; `FOLDER#2` is the second of its parts), or npz (array
            `vol`, and `affine` if there is one).
        nan: "zero" reads NaN as 0 and says so; "refuse" leaves them for `not_finite` to refuse.
        nearest: Whether its values are labels, for a grid that must be resampled.

    Returns:
        `Volume` of real numbers; trailing axes of length 1 are dropped, and its axes are at right angles: see
        `on_orthogonal_grid`.

    Raises:
        UserError: If the file is missing, damaged, of another kind, or does not say where its voxels are.
    """
    from app.data.dicom import is_dicom, named_part

    path, part = named_part(path)
    if os.path.isdir(path) or (os.path.isfile(path) and is_dicom(path) and known_suffix(path) is None):
        volume = _read_series(path, part)
    else:
        volume = _read_file(path)
    if not usable(volume.affine):
        raise UserError(
            f"{path}: its header does not say where its voxels are (the affine is not finite, or flat); correct it"
        )
    array = plain(volume.array, path)
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    if nan == "zero" and array.dtype.kind == "f" and (count := np.count_nonzero(np.isnan(array))):
        array = np.where(np.isnan(array), array.dtype.type(0), array)
        note(f"{path}: {count} voxels are NaN; read as 0")
    return on_orthogonal_grid(dataclasses.replace(volume, array=array), path, nearest)


def read_labels(path):
    """Read a label map: whole numbers, rounded where the file's scaling left them a little off.

    Args:
        path: As for `read_volume`.

    Returns:
        `Volume` of integers.

    Raises:
        UserError: As `read_volume`; or if a value is not finite, or further than 0.01 from a whole number.
    """
    volume = read_volume(path, nearest=True)
    array = volume.array
    if array.dtype.kind in "iu":
        return volume
    whole = np.round(array)
    with np.errstate(invalid="ignore"):
        apart = np.abs(array - whole)
    wrong = ~(apart <= ROUNDING)  # NaN, too
    if wrong.any():
        listed = ", ".join(f"{value:g}" for value in array[wrong][:3])
        raise UserError(
            f"{path}: label values must be whole numbers, {np.count_nonzero(wrong)} voxels are not ({listed}); save "
            "the map without interpolation"
        )
    if apart.any():
        note(f"{path}: labels are up to {apart.max():.2g} off whole numbers; rounded")
    return dataclasses.replace(volume, array=whole.astype("int32"))


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


def _write_itk(path, volume):
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(volume.array.T))
    rank = volume.array.ndim
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    spacing = np.linalg.norm(affine[:rank, :rank], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:rank, :rank] / spacing).ravel().tolist())
    image.SetOrigin(affine[:rank, 3].tolist())
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def _read_file(path):
    content, packed = content_to_read(path)
    try:
        if content == "npz":
            return Volume(*read_npz(path))
        with np.errstate(all="ignore"):  # places that are not finite are refused
            stored = HEADERS[content](path, packed)
        return Volume(read_voxels(stored), stored.affine, stored.header)
    except UserError:
        raise
    except Exception as error:  # nibabel, gzip and numpy raise a dozen kinds
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(
            f"{path}: cannot be read, the file is damaged or truncated ({reason}); restore it from its source"
        ) from None


HEADERS = {
    "nifti": nifti_stored,
    "pair": nifti_pair_stored,
    "mgh": mgh_stored,
    "meta": meta_stored,
    "nrrd": nrrd_stored,
}


def _read_series(folder, part):
    from app.data.dicom import has_dicom_below, read_dicom_folder

    series, refused = read_dicom_folder(folder, part)
    if not series and folder.is_file():
        raise UserError(f"{folder}: one file of a DICOM series, or no image; give the folder of the series")
    if not series and refused:
        more = f" (and {len(refused) - 1} more such lines)" if len(refused) > 1 else ""
        raise UserError(f"{folder}: no volume: {refused[0].removeprefix(f'{folder}: ')}{more}")
    if len(series) != 1:
        found = f"{len(series)} series" if series else "no DICOM file"
        below = "; its subfolders hold some, name one" if found == "no DICOM file" and has_dicom_below(folder) else ""
        raise UserError(f"{folder}: a folder must hold one DICOM series; found {found}{below}")
    for line in refused:
        note(line)
    for flag in series[0].flags:
        note(f"{folder}: {flag}")
    return series[0].volume()


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
