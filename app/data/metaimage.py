"""Headers of MetaImage files (.mha, .mhd), checked before their voxels are read.

ITK's own reader follows whatever path such a header names, and some headers make it crash.
"""

import numpy as np

from app.data.geometry import affine_of_axes
from app.data.header_fields import beside, not_packed, one_value, real_numbers, whole_numbers
from app.data.stored import Stored, check_claim
from app.errors import UserError
from app.notes import note
from app.strangers import regular_file

LONGEST_HEADER = 2**20
TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
UNITS = {"mm": 1.0, "um": 0.001, "cm": 10.0}


def meta_stored(path, packed, vectors=False):
    """Where the voxels of a MetaImage are.

    Args:
        path: Regular file.
        packed: Whether it is compressed as a whole, which it must not be.
        vectors: Whether a voxel has several values, which then are the first axis of the array.

    Returns:
        `Stored`.

    Raises:
        UserError: If the header is damaged, or what it says cannot be.

    Reference:
        - https://itk.org/Wiki/ITK/MetaIO/Documentation
    """
    not_packed(packed, path)
    fields, end = _fields(path)
    (rank,) = whole_numbers(fields.get("NDims", "").split()[:1], path, "NDims")
    shape = tuple(whole_numbers(fields.get("DimSize", "").split(), path, "DimSize"))
    if not 1 <= rank <= 7 or len(shape) != rank:
        raise UserError(f"{path}: NDims is {rank}, DimSize has {len(shape)} numbers; correct the header")
    (values,) = whole_numbers(fields.get("ElementNumberOfChannels", "1").split(), path, "ElementNumberOfChannels")
    if vectors:
        shape = (values, *shape)
    else:
        one_value(values, path)
    name = fields.get("ElementType", "").removesuffix("_ARRAY")
    if name not in TYPES:
        raise UserError(f"{path}: voxels of an unknown type ({name[:40]}); save it as integers or MET_FLOAT")
    if not _true(fields, "BinaryData", "True"):
        raise UserError(f"{path}: its voxels are written as text; save it in binary form (BinaryData = True)")
    big = _true(fields, "BinaryDataByteOrderMSB") or _true(fields, "ElementByteOrderMSB")
    dtype = np.dtype(TYPES[name]).newbyteorder(">" if big else "<")
    packed = _true(fields, "CompressedData")
    data, begins = path, end
    if fields["ElementDataFile"].upper() != "LOCAL":
        data = beside(path, fields["ElementDataFile"])
        (begins,) = whole_numbers(fields.get("HeaderSize", "0").split(), path, "HeaderSize")
    held = regular_file(data)
    if begins == -1 and not packed:  # the voxels are the end of the file
        check_claim(path, shape, dtype, held, packed)
        begins = held - int(np.prod(shape)) * dtype.itemsize
    if begins < 0:
        raise UserError(f"{path}: HeaderSize is {begins}; correct the header")
    _unscaled(fields, path)
    return Stored(path, data, shape, dtype, _affine(fields, path, rank), begins=begins, packed=packed)


def _fields(path):
    """Dict of the header's fields, and the byte behind it."""
    with open(path, "rb") as file:
        head = file.read(LONGEST_HEADER)
    fields, place = {}, 0
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", place)
        line = head[place : end if end >= 0 else len(head)].decode("utf-8", "replace").strip()
        key, equals, value = (part.strip() for part in line.partition("="))
        if line and not equals:
            raise UserError(f"{path}: a line of its header is no 'Key = Value' ({line[:60]}); correct the header")
        if line and key in fields:
            raise UserError(f"{path}: its header says {key} twice; remove one")
        if line:
            fields[key] = value
        if end < 0 and "ElementDataFile" not in fields:
            raise UserError(f"{path}: its header names no ElementDataFile (damaged or truncated); restore the file")
        place = end + 1 if end >= 0 else len(head)
    if fields.get("ObjectType", "Image") != "Image":
        raise UserError(f"{path}: holds a {fields['ObjectType'][:40]}, no image; give an image")
    return fields, place


def _affine(fields, path, rank):
    spacing = _vector(fields, path, ("ElementSpacing", "ElementSize"), rank, np.ones(rank))
    origin = _vector(fields, path, ("Offset", "Position", "Origin"), rank, np.zeros(rank))
    matrix = _vector(fields, path, ("TransformMatrix", "Rotation", "Orientation"), rank * rank, np.eye(rank).ravel())
    unit = fields.get("DistanceUnits", "mm")
    scale = UNITS.get(unit, 1.0)
    if scale != 1.0:
        note(f"{path}: lengths are in {unit}; turned to millimetres")
    axes = matrix.reshape(rank, rank) * spacing[:, None]
    return affine_of_axes(axes * scale, origin * scale)


def _vector(fields, path, names, count, otherwise):
    name = next((name for name in names if name in fields), None)
    if name is None:
        return otherwise
    numbers = real_numbers(fields[name].split(), path, name)
    if len(numbers) != count:
        raise UserError(f"{path}: {name} has {len(numbers)} numbers, expected {count}; correct the header")
    return np.array(numbers)


def _unscaled(fields, path):
    for name, nothing in (("ElementToIntensityFunctionSlope", 1.0), ("ElementToIntensityFunctionOffset", 0.0)):
        if name in fields and real_numbers([fields[name]], path, name) != [nothing]:
            raise UserError(f"{path}: {name} is {fields[name][:20]}, which programs read differently; save it unscaled")


def _true(fields, name, otherwise="False"):
    return fields.get(name, otherwise)[:1] in ("T", "t", "1")
