"""Headers of NIfTI files, single and in pairs, and of MGH files, checked before their voxels are read."""

import logging
import math

import numpy as np

from app.data.geometry import nifti_affine
from app.data.header_fields import beside, check_type, one_value
from app.data.stored import Stored, check_claim, first_bytes
from app.errors import UserError
from app.notes import note
from app.strangers import regular_file

VECTOR_AXIS = 4  # dim[5]
LONGEST_EXTENSION = 2**24
MGH_VOXELS = 284


def nifti_pair_stored(path, packed, vectors=False):
    """Where the voxels of a NIfTI pair are: as `nifti_stored`, for a header whose voxels are in an `.img` beside it."""
    return nifti_stored(path, packed, vectors, pair=True)


def nifti_stored(path, packed, vectors=False, pair=False):
    """Where the voxels of a NIfTI file are.

    Args:
        path: Regular file.
        packed: Whether it is gzip.
        vectors: Whether a voxel has several values.
        pair: Whether the voxels are in an `.img` beside it.

    Returns:
        `Stored`.

    Raises:
        UserError: If the header is damaged, or what it says cannot be.

    Reference:
        - The NIfTI-1 header's comments on `dim`, `vox_offset`, `scl_slope`.
    """
    import nibabel

    head = first_bytes(path, packed, 544)
    kind = nibabel.Nifti2Header if head[4:6] in (b"n+", b"ni") else nibabel.Nifti1Header
    if len(head) < kind.sizeof_hdr:
        raise UserError(f"{path}: ends within its header (damaged or truncated); restore it from its source")
    header = kind(head[: kind.sizeof_hdr], check=False)
    axes = int(header["dim"][0])
    if not 1 <= axes <= 7:
        raise UserError(f"{path}: its header claims {axes} axes (damaged); restore it from its source")
    shape = tuple(int(size) for size in header["dim"][1 : 1 + axes])
    dtype = _nifti_type(header, path)
    data, begins = path, _voxels_begin(header, path, kind, pair)
    if pair:
        stem = path.name.removesuffix(".gz")
        data = beside(path, stem[: stem.rfind(".")] + (".IMG" if stem.endswith(".HDR") else ".img"))
        packed = False
    check_claim(path, shape, dtype, regular_file(data), packed, begins)
    if not vectors:
        one_value(shape[VECTOR_AXIS] if len(shape) > VECTOR_AXIS else 1, path)
    scaling = _scaling(header, path)
    if not pair and begins > kind.sizeof_hdr + 4:
        _read_extensions(header, path, packed, kind, begins)
    header["vox_offset"] = 0  # of what is written, nibabel finds it
    header["magic"] = kind.single_magic
    header.check_fix(logger=_notes_of(path))
    affine = nifti_affine(header, shape[:3], path)
    return Stored(path, data, shape, dtype, affine, packed=packed, skip=begins, header=header, scaling=scaling)


def _notes_of(path):
    """A log that says what nibabel corrects in a header."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: note(f"{path}: {record.getMessage()}")
    log = logging.Logger(__name__)
    log.addHandler(handler)
    return log


def _nifti_type(header, path):
    from nibabel.nifti1 import data_type_codes

    code = int(header["datatype"])
    if code not in data_type_codes.dtype:
        raise UserError(f"{path}: voxels of an unknown type ({code}); restore the file, or save it as float64")
    dtype = data_type_codes.dtype[code].newbyteorder(header.endianness)
    name = data_type_codes.label[code]
    check_type(np.dtype("c8") if name.startswith("complex") else dtype, path, name)
    return dtype


def _voxels_begin(header, path, kind, pair):
    offset, least = float(header["vox_offset"]), 0 if pair else kind.sizeof_hdr + 4
    if offset == 0 and not pair:
        note(f"{path}: vox_offset is 0; its voxels are taken to begin behind the header, at byte {least}")
        return least
    if not math.isfinite(offset) or offset != int(offset) or offset < least:
        raise UserError(
            f"{path}: vox_offset is {offset:g}, its voxels cannot begin before byte {least}; correct the header, or "
            "restore the file from its source"
        )
    return int(offset)


def _scaling(header, path):
    """Slope and intercept; None where the slope is 0 or NaN, which says that there are none."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return None
    if not math.isfinite(slope) or not math.isfinite(intercept):
        raise UserError(
            f"{path}: its values are scaled by scl_slope {slope:g} and scl_inter {intercept:g}; correct the header"
        )
    return None if (slope, intercept) == (1, 0) else (slope, intercept)


def _read_extensions(header, path, packed, kind, begins):
    """Put what stands between the header and the voxels into it, if it is sound, its content not looked at."""
    from nibabel.nifti1 import Nifti1Extension

    start = kind.sizeof_hdr + 4
    if not first_bytes(path, packed, start)[-4]:
        return
    block, place, extensions = first_bytes(path, packed, min(begins, start + LONGEST_EXTENSION))[start:], 0, []
    while len(block) - place >= 16:
        size, code = (int(number) for number in np.frombuffer(block, header.endianness + "i4", 2, place))
        if size < 16 or size % 16 or size > len(block) - place:
            note(f"{path}: an extension of its header is damaged; extensions are left out")
            return
        extensions.append(Nifti1Extension(code, block[place + 8 : place + size].rstrip(b"\0")))
        place += size
    header.extensions.extend(extensions)


def mgh_stored(path, packed, vectors=False):
    """Where the voxels of an MGH file are.

    Args:
        path: Regular file.
        packed: Whether it is gzip (`.mgz`).
        vectors: Whether a voxel has several values; the format does not say.

    Returns:
        `Stored`.

    Raises:
        UserError: If the header is damaged, or what it says cannot be.
    """
    from nibabel.freesurfer.mghformat import MGHHeader, data_type_codes, footer_dtype, header_dtype

    del vectors
    head = first_bytes(path, packed, MGH_VOXELS)
    if len(head) < MGH_VOXELS:
        raise UserError(f"{path}: ends within its header (damaged or truncated); restore it from its source")
    *sizes, code = (int(number) for number in np.frombuffer(head, ">i4", 5, 4))
    if code not in data_type_codes.numpy_dtype:
        raise UserError(f"{path}: voxels of an unknown type ({code}); restore the file, or save it as float")
    dtype = data_type_codes.numpy_dtype[code]
    shape = tuple(sizes if sizes[3] != 1 else sizes[:3])
    check_claim(path, shape, dtype, regular_file(path), packed, MGH_VOXELS)
    placed = bool(np.frombuffer(head, ">i2", 1, 28)[0])
    if not placed:
        note(
            f"{path}: its header does not say how it lies in space; slices are taken to be coronal, as FreeSurfer does"
        )
    header = MGHHeader(head[: header_dtype.itemsize], check=False)

    def read_footer(rest):
        footer = np.frombuffer(rest[: footer_dtype.itemsize].ljust(footer_dtype.itemsize, b"\0"), footer_dtype)[0]
        for name in footer_dtype.names:
            header[name] = footer[name]

    affine = np.asarray(header.get_affine(), float)
    return Stored(path, path, shape, dtype, affine, packed=packed, skip=MGH_VOXELS, header=header, after=read_footer)
