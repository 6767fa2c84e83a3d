"""What headers say, field by field: numbers, types, names of files; each as it must be, or refused in a line."""

import os
from pathlib import Path

import numpy as np

from app.errors import UserError, printable


def beside(path, name):
    """The file of voxels that a header names.

    Args:
        path: The header.
        name: What it says.

    Returns:
        Path in the header's own folder.

    Raises:
        UserError: If it names several files, one elsewhere, none, or itself.
    """
    remedy = "put the data file beside the header, and its plain name into it"
    words, shown = name.split(), printable(name)[:60]
    if words[:1] == ["LIST"] or ("%" in name and len(words) > 1):
        raise UserError(f"{path}: its voxels are spread over several files ({shown}); save it as one file")
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise UserError(f"{path}: its voxels are said to be elsewhere ({shown}); {remedy}")
    data = Path(path).parent / name
    if data.is_symlink() and data.resolve().parent != data.parent.resolve():
        raise UserError(f"{path}: its data file {shown} is a link to elsewhere; {remedy}")
    if not os.path.isfile(data):
        raise UserError(f"{path}: its data file {shown} is not there, or no regular file; {remedy}")
    if os.path.samefile(data, path):
        raise UserError(f"{path}: names itself as its data file; correct the header")
    return data


def whole_numbers(words, path, field):
    """Numbers of a header that count something.

    Args:
        words: Strings.
        path: For messages.
        field: For messages.

    Returns:
        List of integers.

    Raises:
        UserError: If any is none.
    """
    if not words or any(len(word) > 18 or not word.removeprefix("-").isdecimal() for word in words):
        raise UserError(f"{path}: {field} must be whole numbers ({' '.join(words)[:60]}); correct the header")
    return [int(word) for word in words]


def real_numbers(words, path, field):
    """Numbers of a header that measure something.

    Args:
        words: Strings.
        path: For messages.
        field: For messages.

    Returns:
        List of floats; they need not be finite.

    Raises:
        UserError: If any is none.
    """
    try:
        return [float(word) for word in words]
    except ValueError:
        raise UserError(f"{path}: {field} must be numbers ({' '.join(words)[:60]}); correct the header") from None


def not_packed(packed, path):
    """See that a text header is not within a compressed file.

    Args:
        packed: Whether it is.
        path: For messages.

    Raises:
        UserError: If it is.
    """
    if packed:
        raise UserError(f"{path}: compressed as a whole; unpack it (gunzip)")


def check_type(dtype, path, name=None):
    """See that a voxel is one real number.

    Args:
        dtype: NumPy's.
        path: For messages.
        name: What the format calls the type.

    Raises:
        UserError: If it is not.
    """
    if dtype.kind == "c":
        raise UserError(f"{path}: complex values ({name or dtype}); save their magnitude, or one part")
    if dtype.names:
        raise UserError(f"{path}: a colour image ({name or dtype}); save one grey value a voxel")
    if dtype.kind not in "iufb":
        raise UserError(f"{path}: voxels of type {name or dtype}; save them as integers or as float64")


def plain(array, path):
    """An array of types that every writer and network takes.

    Args:
        array: Any.
        path: For messages.

    Returns:
        Array of integers or of floats of 32 or 64 bits, in this machine's byte order.

    Raises:
        UserError: If it holds other than real numbers.
    """
    check_type(array.dtype, path)
    other = {"bool": "uint8", "float16": "float32", np.dtype("longdouble").name: "float64"}
    wanted = other.get(array.dtype.newbyteorder("=").name, array.dtype.newbyteorder("="))
    return array.astype(wanted, copy=False)


def one_value(count, path):
    """See that there is one value per voxel.

    Args:
        count: How many there are.
        path: For messages.

    Raises:
        UserError: If there are more.
    """
    if count > 1:
        raise UserError(f"{path}: {count} values a voxel (vectors, colour or layers); save one of them as an image")
