"""DICOM files: which are any, and how they are opened."""

import warnings

from app.errors import UserError

VALUE_REPRESENTATIONS = (b"UI", b"UL", b"SH", b"CS", b"LO", b"DA", b"TM", b"OB", b"PN", b"IS", b"DS", b"US", b"LT")


def is_dicom(path):
    """Whether a file is DICOM: by its preamble, or, where an archive dropped that, by its first element.

    Args:
        path: File.

    Returns:
        Bool.
    """
    try:
        with open(path, "rb") as file:
            begin = file.read(132)
    except OSError:
        return False
    if begin[128:] == b"DICM":
        return True
    # PS3.5 7.1: group and element, little endian; then letters of a value representation, or a length of 4 bytes.
    group, length = int.from_bytes(begin[:2], "little"), int.from_bytes(begin[4:8], "little")
    element = int.from_bytes(begin[2:4], "little")
    return group in (2, 8) and element < 0x100 and (begin[4:6] in VALUE_REPRESENTATIONS or 0 < length < 100)


def open_dataset(path, **options):
    """A DICOM file as pydicom reads it.

    Args:
        path: File.
        **options: Of `pydicom.dcmread`.

    Returns:
        `pydicom.Dataset`.

    Raises:
        UserError: If it is damaged.
    """
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that break a rule which nothing here depends on
            return pydicom.dcmread(path, force=True, **options)
    except Exception as error:  # pydicom raises what a damaged file makes Python raise
        raise UserError(f"{path}: {damaged(error)}") from None


def damaged(error):
    """What is said of a file that a library cannot read.

    Args:
        error: What the library raised.

    Returns:
        String.
    """
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    return f"no image, or damaged; left out (restore it if it is a slice; {reason})"
