"""DICOM files of any kind, written by pydicom for the tests."""

import struct
import warnings

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

CT, MR, PET, NM = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "128", "20"))
ENHANCED_CT, ENHANCED_MR, US_VOLUME = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2.1", "4.1", "6.2"))


def write_dicom(path, frames, kind=MR, shared=None, per_frame=None, **elements):
    """A file.

    Args:
        path: Where.
        frames: `(n, rows, columns)`, or `(rows, columns)` of a single frame.
        kind: SOP class.
        shared, per_frame: Functional groups.
        **elements: By keyword; None removes.

    Returns:
        The path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = kind, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = f"1.2.3.{abs(hash(str(path))) % 10**12}"
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    frames = np.asarray(frames)
    data.SOPClassUID, data.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    data.Modality, data.PatientName, data.PatientID, data.StudyInstanceUID, data.SeriesInstanceUID = (
        "MR", "X", "X", "1.2.3.9", "1.2.3.4",
    )  # fmt: skip
    data.FrameOfReferenceUID = "1.2.3.10"
    data.Rows, data.Columns = frames.shape[1:] if frames.ndim == 3 else frames.shape
    if frames.ndim == 3:
        data.NumberOfFrames = len(frames)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * frames.dtype.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(frames.dtype.kind == "i")
    for key, value in elements.items():
        setattr(data, key, value)
    if shared is not None:
        data.SharedFunctionalGroupsSequence = Sequence([shared])
    if per_frame is not None:
        data.PerFrameFunctionalGroupsSequence = Sequence(per_frame)
    data.PixelData = np.ascontiguousarray(frames).tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these break the standard's rules, as real ones do
        data.save_as(str(path), enforce_file_format=True)
    return path


def group(**sequences):
    """A functional group: each sequence of one item, from a dict of elements."""
    functional = Dataset()
    for name, elements in sequences.items():
        item = Dataset()
        for key, value in elements.items():
            setattr(item, key, value)
        setattr(functional, name, Sequence([item]))
    return functional


def write_slices(folder, array, positions=None, each=lambda number: {}, kind=MR, **elements):
    """A series, one file per slice: `array` `(n, rows, columns)`, 1.5 mm along rows, 2 mm along columns, 4 mm apart."""
    positions = [[-10.0, 20.0, 5.0 + 4 * number] for number in range(len(array))] if positions is None else positions
    common = {"PixelSpacing": [2.0, 1.5], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], **elements}
    for number, (pixels, position) in enumerate(zip(array, positions, strict=True)):
        own = {"ImagePositionPatient": list(position), "InstanceNumber": number + 1, **each(number)}
        name = own.pop("name", f"{(number * 7) % 97:03d}")
        write_dicom(folder / name, pixels, kind, **{**common, **own})


AFFINE = np.array([[-1.5, 0, 0, 10], [0, -2.0, 0, -20], [0, 0, 4.0, 5], [0, 0, 0, 1]])
MEASURES = {"PixelSpacing": [2.0, 1.5], "SliceThickness": 4.0}


def write_enhanced(path, array, order=None, each=lambda number: {}, kind=ENHANCED_MR, **elements):
    """The same volume in one file, its frames in any order."""
    order = np.arange(len(array)) if order is None else order
    shared = group(
        PixelMeasuresSequence=MEASURES, PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    )
    groups = [
        group(
            **{
                "PlanePositionSequence": {"ImagePositionPatient": [-10.0, 20.0, 5.0 + 4 * number]},
                "FrameContentSequence": {"StackID": "1", "InStackPositionNumber": 1},
                **each(number),
            }
        )
        for number in order
    ]
    return write_dicom(path, array[order], kind, shared, groups, **elements)


def without_preamble(path):
    """As archives write it that strip the file meta information."""
    data = path.read_bytes()
    path.write_bytes(data[144 + struct.unpack("<I", data[140:144])[0] :])
