"""Voxels in a file: what its header claims of them is compared with the file and with memory before any is read.

Headers of strangers lie. A format's own module turns its header into a `Stored`; here alone voxels are read.
"""

import dataclasses
import gzip
import io
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from app.errors import UserError
from app.memory import free_bytes
from app.notes import note
from app.strangers import regular_file

MOST_VOXELS = 2**31 - 1  # what networks can index
MOST_RATIO = 1040  # deflate packs 1,032 bytes into one at the most
AS_FLOAT32 = 4  # bytes a voxel that a network's copy takes, beside the file's own
CHUNK = 2**24
TAIL = 2**12


@dataclasses.dataclass(frozen=True)
class Stored:
    """An image in a file, its voxels not read yet.

    Args:
        name: The image, for messages: its header's path.
        path: File of the voxels.
        shape: Of the array, first axis fastest.
        dtype: Of a voxel in the file.
        affine: `(4, 4)`, voxel index to RAS millimetres.
        begins: Byte of the file at which the voxels, or the packed stream that holds them, begin.
        packed: Whether that stream is compressed (gzip or zlib).
        skip: Bytes of the stream before the first voxel.
        header: nibabel header, or None.
        scaling: Slope and intercept, or None.
        after: Called with the first bytes that follow the voxels.
    """

    name: Path
    path: Path
    shape: tuple
    dtype: np.dtype
    affine: np.ndarray
    begins: int = 0
    packed: bool = False
    skip: int = 0
    header: object = None
    scaling: tuple | None = None
    after: Callable | None = None


def first_bytes(path, packed, count):
    """The first bytes of a file.

    Args:
        path: Regular file.
        packed: Whether it is gzip.
        count: How many.

    Returns:
        Bytes, fewer where the file is shorter.
    """
    with open(path, "rb") as file:
        return _exactly(gzip.GzipFile(fileobj=file) if packed else file, count)


def check_claim(path, shape, dtype, held, packed, skip=0):
    """Compare what a header claims with what is there.

    Args:
        path: File, for messages.
        shape: As the header says.
        dtype: Of a voxel.
        held: Bytes that hold the voxels.
        packed: Whether they are compressed.
        skip: Bytes before the first voxel.

    Raises:
        UserError: If the shape is none, the file too short, or memory too small.
    """
    listed = " x ".join(map(str, shape))
    if not shape or min(shape) < 1:
        raise UserError(f"{path}: its header claims {listed or 'no'} voxels; correct it, or restore the file")
    voxels = math.prod(shape)
    if voxels > MOST_VOXELS:
        raise UserError(f"{path}: its header claims {listed} voxels, more than any network takes; crop or resample it")
    size = skip + voxels * dtype.itemsize
    if size > held * (MOST_RATIO if packed else 1):
        raise UserError(
            f"{path}: its header claims {listed} voxels of {dtype.itemsize} bytes, the file is too short for them "
            "(damaged or truncated); restore it from its source"
        )
    need, free = voxels * (dtype.itemsize + AS_FLOAT32), free_bytes()
    if need > free:
        raise UserError(
            f"{path}: {listed} voxels need {need / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free; crop or "
            "resample it, or use a larger machine"
        )


def read_voxels(stored):
    """Read the voxels of an image.

    Args:
        stored: `Stored`.

    Returns:
        Array of its shape and type, scaled where the header says so.

    Raises:
        UserError: As `check_claim`; if the file ends early.
    """
    dtype = np.dtype(stored.dtype)
    held = regular_file(stored.path) - stored.begins
    check_claim(stored.name, stored.shape, dtype, held, stored.packed, stored.skip)
    array = np.empty(stored.shape, dtype, order="F")
    with open(stored.path, "rb") as file:
        file.seek(stored.begins)
        stream = _inflated(file) if stored.packed else file
        _pass_over(stream, stored.skip)
        if not _fill(stream, memoryview(array.reshape(-1, order="F").view("uint8"))):
            raise UserError(
                f"{stored.name}: ends before its last voxel (damaged or truncated); restore it from its source"
            )
        rest = _exactly(stream, TAIL)  # at the end of a gzip file its checksum is compared
    if stored.after is not None:
        stored.after(rest)
    elif rest:
        note(f"{stored.name}: goes on behind the last voxel that its header names; the rest is left out")
    if stored.scaling is None:
        return array
    from nibabel.volumeutils import apply_read_scaling

    return apply_read_scaling(array, *stored.scaling)


def _inflated(file):
    """A stream of what is packed in a file; gzip with all its members, or zlib."""
    start = file.read(2)
    file.seek(-len(start), os.SEEK_CUR)
    return gzip.GzipFile(fileobj=file) if start == b"\x1f\x8b" else io.BufferedReader(_Zlib(file))


class _Zlib(io.RawIOBase):
    """A zlib stream, inflated no further than is asked for."""

    def __init__(self, file):
        self.file, self.unpack = file, zlib.decompressobj()

    def readable(self):
        return True

    def readinto(self, buffer):
        data = b""
        while not data and not self.unpack.eof:
            packed = self.unpack.unconsumed_tail or self.file.read(2**16)
            if not packed:
                raise EOFError("compressed data end early")
            data = self.unpack.decompress(packed, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _pass_over(stream, count):
    while count > 0:
        passed = len(stream.read(min(count, CHUNK)))
        if not passed:
            break
        count -= passed


def _exactly(stream, count):
    buffer = bytearray()
    while len(buffer) < count and (more := stream.read(count - len(buffer))):
        buffer += more
    return bytes(buffer)


def _fill(stream, view):
    """Read until a buffer is full; whether it became so."""
    done = 0
    while done < len(view):
        count = stream.readinto(view[done : done + CHUNK])
        if not count:
            return False
        done += count
    return True
