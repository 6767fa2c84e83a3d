"""Image files in memory: an array, and the affine that places it in the scanner."""

import dataclasses
import os

import numpy as np

from app.data.content import content_to_read, known_suffix
from app.data.geometry import usable
from app.data.header_fields import plain
from app.data.metaimage import meta_stored
from app.data.nifti import mgh_stored, nifti_pair_stored, nifti_stored
from app.data.npz import read_npz
from app.data.nrrd import nrrd_stored
from app.data.orthogonal import on_orthogonal_grid
from app.data.sound import not_finite
from app.data.stored import read_voxels
from app.data.volume import Volume
from app.errors import UserError, list_problems
from app.notes import note

ROUNDING = 0.01  # how far a label may lie from a whole number


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
        volume, _ = _read_file(path)
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


def read_vectors(path):
    """Read an image of several values a voxel, such as a displacement.

    Args:
        path: NIfTI, MGZ, MetaImage, NRRD or npz.

    Returns:
        `Volume`, whose array `(i, j, k, values)` has three axes of space; and its content, a key of `HEADERS`, or
        "npz".

    Raises:
        UserError: As `read_volume`; if there is one value a voxel, or one is not finite.
    """
    volume, content = _read_file(path, vectors=True)
    if not usable(volume.affine):
        raise UserError(f"{path}: its header does not say where its voxels are; correct it")
    array = plain(volume.array, path)
    if content in ("meta", "nrrd"):
        array = np.moveaxis(array, 0, -1)
    *space, values = array.shape if array.ndim > 2 else (*array.shape, 1)
    space = [size for axis, size in enumerate(space) if axis < 3 or size > 1]
    if len(space) > 3 or values < 2 or (array.ndim == 3 and values > 3):
        raise UserError(
            f"{path}: {' x '.join(map(str, array.shape))} numbers; a displacement has 3 components (of a 2D image 2) "
            "for each voxel, on its last axis"
        )
    array = array.reshape(*space, *[1] * (3 - len(space)), values)
    list_problems([f"{path}: {problem}" for problem in not_finite(array)])
    return dataclasses.replace(volume, array=array), content


def _read_file(path, vectors=False):
    content, packed = content_to_read(path)
    try:
        if content == "npz":
            return Volume(*read_npz(path)), content
        with np.errstate(all="ignore"):  # places that are not finite are refused
            stored = HEADERS[content](path, packed, vectors)
        return Volume(read_voxels(stored), stored.affine, stored.header), content
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
