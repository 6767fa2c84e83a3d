"""What a file is, by its first bytes: names lie, by accident or not."""

import os
import re
import zlib

from app.errors import UserError
from app.notes import note
from app.strangers import regular_file

HEAD = 1024
GZIP = b"\x1f\x8b"
FORMATS = {
    ".nii.gz": "nifti",
    ".nii": "nifti",
    ".mgz": "mgh",
    ".mgh": "mgh",
    ".mha": "meta",
    ".mhd": "meta",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".hdr": "pair",
    ".npz": "npz",
}
NAMES = {
    "nifti": "NIfTI",
    "pair": "the header of a NIfTI pair",
    "mgh": "MGH",
    "meta": "MetaImage",
    "nrrd": "NRRD",
    "npz": "npz",
}
REMEDIES = {
    "dicom": "one file of a DICOM series; give its folder",
    "analyze": "Analyze 7.5, which does not say how an image lies; save it as NIfTI by the program that wrote it",
    "zip": "a zip archive; unpack it and give the image in it",
    "tar": "a tar archive; unpack it and give the image in it",
    "packed": "compressed by another program than gzip (xz, bzip2, zstd, 7z, rar); unpack it",
    "twice": "compressed twice; unpack it once (gunzip)",
    "html": "a web page, so the download failed (a login or an error page); fetch the file again",
    "lfs": "a pointer of git-lfs, not the file itself; fetch it (git lfs pull)",
    "annex": "a pointer of git-annex, not the file itself; fetch it (git annex get, datalad get)",
    "hdf5": "HDF5 or MINC, which is not read; save it as NIfTI (mnc2nii)",
    "picture": "a picture or a document (PNG, JPEG, TIFF, PDF ...), not a medical image; give the original",
    "mac": "what macOS keeps beside a file (AppleDouble), not the image; give the file without '._'",
    "xml": "an XML document, not an image; give the image",
    "empty": "the file is empty; restore it from its source",
    "text": "a text, not an image; give the image",
}
STARTS = (
    (b"NRRD000", "nrrd"),
    (GZIP, "twice"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\xfd7zXZ\x00", "packed"),
    (b"BZh", "packed"),
    (b"\x28\xb5\x2f\xfd", "packed"),
    (b"7z\xbc\xaf\x27\x1c", "packed"),
    (b"Rar!", "packed"),
    (b"\x89HDF", "hdf5"),
    (b"CDF\x01", "hdf5"),
    (b"CDF\x02", "hdf5"),
    (b"\x89PNG", "picture"),
    (b"\xff\xd8\xff", "picture"),
    (b"GIF8", "picture"),
    (b"%PDF", "picture"),
    (b"II*\x00", "picture"),
    (b"MM\x00*", "picture"),
    (b"\x00\x05\x16\x07", "mac"),
    (b"version https://git-lfs", "lfs"),
)


def known_suffix(path):
    """The suffix of an image file, in lower case; None if it is no image's.

    Args:
        path: File.
    """
    return next((suffix for suffix in FORMATS if path.name.lower().endswith(suffix)), None)


def content_to_read(path):
    """What an image file is, by its content, and by its name where the content has no mark.

    Args:
        path: File.

    Returns:
        One of the values of `FORMATS`, and whether the file is compressed by gzip.

    Raises:
        UserError: If its name is no image's, it is no regular file, damaged gzip, or anything that is not read.
    """
    suffix = known_suffix(path)
    if suffix is None:
        raise UserError(f"{path}: unknown image format; {_hint(path)}")
    regular_file(path, "image file")
    content, packed = _content(path)
    expected = FORMATS[suffix]
    if (content, expected) == ("zip", "npz"):
        return expected, packed
    if content in REMEDIES:
        raise UserError(f"{path}: {REMEDIES[content]}")
    if content not in NAMES or (content == "mgh" and expected != "mgh"):
        raise UserError(f"{path}: by its content no {NAMES[expected]}, damaged or something else; restore it")
    if content != expected:
        note(f"{path}: by its content {NAMES[content]}; read as such, whatever its name says")
    elif content in ("nifti", "mgh") and packed != (suffix in (".nii.gz", ".mgz")):
        note(f"{path}: {'compressed' if packed else 'not compressed'}; read as such, whatever its name says")
    return content, packed


def _hint(path):
    """What to do with a file whose name is no image's."""
    content, _ = _content(path) if os.path.isfile(path) else ("", False)
    if path.name.lower().endswith(".img"):
        return "give the .hdr beside it"
    if content in REMEDIES:
        return REMEDIES[content]
    named = [suffix for suffix, item in FORMATS.items() if item == content and content != "mgh"]
    if named:
        return f"by its content {NAMES[content]}: name it so, {named[0]}"
    return f"expected {', '.join(FORMATS)}, or a DICOM folder"


def _content(path):
    try:
        with open(path, "rb") as file:
            head = file.read(2**16)
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror}); correct its permissions") from None
    packed = head.startswith(GZIP)
    if packed:
        try:
            head = zlib.decompressobj(31).decompress(head, HEAD)
        except zlib.error as error:
            raise UserError(f"{path}: damaged gzip file ({error}); restore it from its source") from None
    return _by_bytes(head[:HEAD]), packed


def _by_bytes(head):
    if not head:
        return "empty"
    if head[128:132] == b"DICM":
        return "dicom"
    if head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0":
        return "nifti"
    if head[344:348] == b"ni1\0" or head[4:8] == b"ni2\0":
        return "pair"
    for start, content in STARTS:
        if head.startswith(start):
            return content
    if len(head) >= 348 and head[:4] in (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c"):  # 348
        return "analyze"
    if head[257:262] == b"ustar":
        return "tar"
    if head[:4] == b"\x00\x00\x00\x01":
        return "mgh"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    if start.startswith(b"<"):
        return "xml"
    if re.search(rb"(?m)^(NDims|DimSize|ElementType|ElementDataFile)\s*=", head):
        return "meta"
    if b"/annex/objects/" in head[:300]:
        return "annex"
    return "text" if re.fullmatch(rb"[\t\r\n\x20-\x7e]+", head) else ""
