"""The pixels of a DICOM frame, decoded."""

import warnings

import numpy as np

from app.data.dicom_file import damaged, open_dataset
from app.errors import UserError


def read_pixels(frame):
    """The values of a frame, rescaled.

    Args:
        frame: `Frame`.

    Returns:
        `(columns, rows)`: whole numbers where the scaling leaves them whole, else float32.

    Raises:
        UserError: If they are damaged or compressed in a way that cannot be read.
    """
    from pydicom.pixels import pixel_array
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    data = open_dataset(frame.path)
    data.ensure_file_meta()
    if data.file_meta.get("TransferSyntaxUID") is None:  # without a preamble: as it was parsed
        implicit, _ = data.original_encoding
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bytes that pad the pixels
            array = pixel_array(data, index=frame.index)
    except Exception as error:  # decoders raise what damaged bytes make them raise
        if not data.file_meta.TransferSyntaxUID.is_compressed:
            raise UserError(f"{frame.path}: {damaged(error)}") from None
        array = _by_gdcm(frame, error)
    slope, intercept = frame.scaling
    if (slope, intercept) == (1.0, 0.0):
        return array.T
    if slope == 1.0 and float(intercept).is_integer():
        return array.T.astype("int32") + int(intercept)
    return (array.T * slope + intercept).astype("float32")


def _by_gdcm(frame, error):
    """JPEG lossless, which the decoders with a free licence leave to GDCM; `(rows, columns)` as stored."""
    import SimpleITK

    refused = UserError(f"{frame.path}: {damaged(error)}")
    try:
        image = SimpleITK.ReadImage(str(frame.path), imageIO="GDCMImageIO")
    except RuntimeError:
        raise refused from None
    array = SimpleITK.GetArrayFromImage(image)
    if array.ndim != 3 or len(array) <= frame.index or (array[0].shape[::-1] != frame.size):
        raise refused
    slope, intercept = frame.scaling  # GDCM has applied those of the file
    return np.rint((array[frame.index] - intercept) / slope).astype("int32")
