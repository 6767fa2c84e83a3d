"""Small images as files, byte by byte: the same voxels in the same places in every format."""

import gzip
import io
import zlib

import nibabel
import numpy as np

ARRAY = np.random.default_rng(7).integers(0, 200, (3, 4, 5)).astype("int16")
AFFINE = np.array([[0, -2.0, 0, 30], [1.5, 0, 0, -7], [0, 0, 3.0, 5], [0, 0, 0, 1]])


def nifti(array=ARRAY, order="<", start=352, kind=nibabel.Nifti1Header, **fields):
    """A NIfTI file: header, zeros up to `start`, voxels.

    Args:
        array: Voxels.
        order: "<" or ">".
        start: Byte of the first voxel.
        kind: Class of the header.
        **fields: Of the header, set last, true or not.

    Returns:
        Bytes.
    """
    header = kind(endianness=order)
    header.set_data_shape(array.shape)
    header.set_data_dtype(array.dtype)
    header.set_sform(AFFINE, 1)
    header.set_qform(AFFINE, 1)
    header["vox_offset"] = start
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock.ljust(start, b"\0") + array.astype(array.dtype.newbyteorder(order)).tobytes("F")


def mgh(array=ARRAY, **fields):
    """An MGH file.

    Args:
        array: Voxels, of a type that MGH holds.
        **fields: Of the header, set last, true or not.

    Returns:
        Bytes.
    """
    image = nibabel.MGHImage(array, AFFINE)
    content = bytearray(image.to_bytes())
    header = image.header
    for name, value in fields.items():
        header[name] = value
    content[:90] = header.binaryblock[:90]
    return bytes(content)


def meta(array=ARRAY, data=None, **fields):
    """A MetaImage.

    Args:
        array: Voxels.
        data: What follows the header: the voxels if None.
        **fields: Of the header; None leaves one out.

    Returns:
        Bytes.
    """
    names = {"i": "INT", "u": "UINT", "f": "FLOAT"}
    kinds = {"int16": "SHORT", "uint16": "USHORT", "uint8": "UCHAR", "int8": "CHAR", "float64": "DOUBLE"}
    lps = np.diag([-1.0, -1, 1]) @ AFFINE[:3]
    spacing = np.linalg.norm(lps[:, :3], axis=0)
    own = {
        "ObjectType": "Image", "NDims": 3, "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
        "TransformMatrix": _words((lps[:, :3] / spacing).T.ravel()), "Offset": _words(lps[:, 3]),
        "ElementSpacing": _words(spacing), "DimSize": _words(array.shape),
        "ElementType": "MET_" + kinds.get(array.dtype.name, names.get(array.dtype.kind, "OTHER")),
    }  # fmt: skip
    last = fields.pop("ElementDataFile", "LOCAL")
    lines = [f"{key} = {value}" for key, value in {**own, **fields}.items() if value is not None]
    lines += [] if last is None else [f"ElementDataFile = {last}"]
    body = array.tobytes("F") if data is None else data
    return ("\n".join(lines) + "\n").encode() + (body if last == "LOCAL" else b"")


def nrrd(array=ARRAY, data=None, **fields):
    """An NRRD file.

    Args:
        array: Voxels.
        data: What follows the header: the voxels if None.
        **fields: Of the header, "_" for a space; None leaves one out.

    Returns:
        Bytes.
    """
    lps = np.diag([-1.0, -1, 1]) @ AFFINE[:3]
    vectors = [f"({','.join(f'{value:g}' for value in column)})" for column in lps.T]
    own = {
        "type": array.dtype.name.replace("float64", "double").replace("float32", "float"), "dimension": 3,
        "space": "left-posterior-superior", "sizes": _words(array.shape), "space_directions": " ".join(vectors[:3]),
        "kinds": "domain domain domain", "endian": "little", "encoding": "raw", "space_origin": vectors[3],
    }  # fmt: skip
    lines = [f"{key.replace('_', ' ')}: {value}" for key, value in {**own, **fields}.items() if value is not None]
    body = b"" if "data_file" in fields else array.tobytes("F") if data is None else data
    return ("\n".join(["NRRD0004", *lines]) + "\n\n").encode() + body


def npz(**arrays):
    """An npz file of these arrays."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def zeros_packed(count, before=b"", wbits=31):
    """Zeros, compressed a thousandfold: what a bomb is made of.

    Args:
        count: How many bytes.
        before: Bytes in front of them.
        wbits: Of zlib: 31 for gzip, 15 for zlib.

    Returns:
        Bytes.
    """
    pack = zlib.compressobj(9, zlib.DEFLATED, wbits)
    parts = [pack.compress(before)]
    parts += [pack.compress(bytes(min(2**20, count - done))) for done in range(0, count, 2**20)]
    return b"".join([*parts, pack.flush()])


def packed(content):
    """Content, compressed by gzip."""
    return gzip.compress(content, 6)


def _words(numbers):
    return " ".join(f"{number:g}" for number in numbers)
