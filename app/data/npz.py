"""npz files: each array's header is checked before the array is read, and nothing is unpickled."""

import zipfile

import numpy as np

from app.data.header_fields import check_type
from app.data.stored import check_claim
from app.errors import UserError
from app.finite import check_finite
from app.strangers import regular_file

VOXELS, AFFINE = "vol.npy", "affine.npy"


def read_npz(path):
    """Read an array `vol` and, if there is one, `affine`.

    Args:
        path: Regular file.

    Returns:
        Array, and `(4, 4)`.

    Raises:
        UserError: If there is no such array, it holds other than numbers, or claims more than the file holds.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if VOXELS not in names:
            listed = ", ".join(name.removesuffix(".npy")[:40] for name in names[:6])
            raise UserError(f"{path}: expected an array 'vol', found {listed or 'nothing'}; rename it")
        affine = _array(archive, AFFINE, path, (4, 4)) if AFFINE in names else np.eye(4)
        if affine.dtype.kind not in "iuf":
            raise UserError(f"{path}: 'affine' is of type {affine.dtype}; save it as float64")
        return _array(archive, VOXELS, path), np.asarray(affine, dtype="float64")


def read_arrays(path, names):
    """Read finite arrays by their names.

    Args:
        path: npz file.
        names: Of the arrays.

    Returns:
        List of arrays.

    Raises:
        UserError: If the file is missing, damaged or lacks an array, or one holds other than finite numbers, or claims
            more than the file holds.
    """
    regular_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return [check_finite(_array(archive, f"{name}.npy", path), f"{path}: '{name}'") for name in names]
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise their own kinds
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: damaged ({reason}); restore it from its source") from None


def _array(archive, name, path, expected=None):
    member = archive.getinfo(name)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(f"{path}: packed in an unusual way; save it with numpy.savez or savez_compressed")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    if dtype.hasobject:
        raise UserError(f"{path}: '{name.removesuffix('.npy')}' holds Python objects; save numbers")
    check_type(dtype, path)
    if expected and shape != expected:
        raise UserError(f"{path}: 'affine' has shape {shape}, expected {expected}; correct it")
    held = min(member.compress_size, archive.fp.seek(0, 2))
    check_claim(
        path, shape or ((1,) if name != VOXELS else ()), dtype, held, member.compress_type == zipfile.ZIP_DEFLATED
    )
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
