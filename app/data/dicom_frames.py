"""What the header of a DICOM file says of each picture in it: where it lies, and to which acquisition it belongs."""

import dataclasses
import math
import os
from pathlib import Path

import numpy as np

from app.data.dicom_file import damaged, open_dataset
from app.errors import UserError
from app.memory import free_bytes

MOST_FRAMES = 100_000
LOCALISER = "LOCALIZER"
COLOURS = ("RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
WANTED = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "SeriesDescription", "BodyPartExamined",
    "ImageType", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SpacingBetweenSlices", "SliceThickness",
    "ImagerPixelSpacing", "GridFrameOffsetVector", "DetectorInformationSequence", "InstanceNumber", "RescaleSlope",
    "RescaleIntercept", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "AcquisitionNumber",
    "EchoNumbers", "EchoTime", "TemporalPositionIdentifier", "TriggerTime", "DiffusionBValue", "ComplexImageComponent",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Frame:
    """A picture of a DICOM file, its pixels not read yet.

    Args:
        path: File.
        index: Its number among the file's frames, from 0.
        position: `(3,)`, LPS mm of its first pixel's centre; None where the file does not say it.
        axes: `(6,)`, direction along a row and along a column, LPS; None likewise.
        spacing: mm between rows, and between columns; None likewise.
        size: Columns and rows.
        kind: Dict from what may distinguish acquisitions of the same place to its value, in order of importance.
        instance: Number for order's sake.
        scaling: Slope and intercept.
        image: SOP instance, of which there should be one file.
        flags: What was assumed of where it lies.
    """

    path: Path
    index: int
    position: np.ndarray | None
    axes: np.ndarray | None
    spacing: np.ndarray | None
    size: tuple
    kind: dict
    instance: float
    scaling: tuple
    image: str
    flags: tuple = ()


@dataclasses.dataclass(frozen=True)
class DicomHeader:
    """What a file's header says.

    Args:
        series: `SeriesInstanceUID`.
        body_part: `BodyPartExamined`, "" where it is not said.
        description: `SeriesDescription`, likewise.
        localiser: Whether it is a scout image.
        frames: List of `Frame`.
    """

    series: str
    body_part: str
    description: str
    localiser: bool
    frames: list


def read_header(path):
    """Read the header of a file; the pixels are left alone.

    Args:
        path: DICOM file.

    Returns:
        `DicomHeader`.

    Raises:
        UserError: If it holds no image, a coloured one, claims more than it holds, or is damaged.
    """
    header = open_dataset(path, stop_before_pixels=True, specific_tags=WANTED)
    try:
        return _read(path, header)
    except UserError:
        raise
    except Exception as error:  # values of the wrong kind raise whatever they meet
        raise UserError(f"{path}: {damaged(error)}") from None


def _read(path, header):
    rows, columns = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
    if not rows or not columns:
        raise UserError(f"{path}: no image, or damaged; left out (restore it if it is a slice)")
    if int(header.get("SamplesPerPixel") or 1) > 1 or header.get("PhotometricInterpretation") in COLOURS:
        raise UserError(f"{path}: a colour picture, not an MR, CT or ultrasound slice; left out")
    count = int(header.get("NumberOfFrames") or 1)
    claimed = rows * columns * count * int(header.get("BitsAllocated") or 16) // 8
    if not 0 < count <= MOST_FRAMES or claimed > free_bytes():
        raise UserError(
            f"{path}: its header claims {count} frames of {columns} x {rows}, more than there is memory for; left out"
        )
    syntax = getattr(getattr(header, "file_meta", None), "TransferSyntaxUID", None)
    if (syntax is None or not syntax.is_compressed) and claimed > os.path.getsize(path):
        raise UserError(f"{path}: shorter than the {claimed} bytes that its header claims; left out (restore it)")
    kinds = [str(word) for word in header.get("ImageType") or []]
    frames = _frames(Path(path), header, count, (columns, rows))
    inverted = ("MONOCHROME1: values are as stored, which viewers show inverted",)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        frames = [dataclasses.replace(frame, flags=frame.flags + inverted) for frame in frames]
    return DicomHeader(
        str(header.get("SeriesInstanceUID") or ""),
        str(header.get("BodyPartExamined") or ""),
        str(header.get("SeriesDescription") or ""),
        LOCALISER in kinds,
        frames,
    )


def _frames(path, header, count, size):
    groups = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = (header.get("SharedFunctionalGroupsSequence") or [None])[0]
    if groups and len(groups) != count:
        raise UserError(f"{path}: {count} frames, but positions for {len(groups)}; left out, export it again")
    common = {"path": path, "size": size, "image": str(header.get("SOPInstanceUID") or path)}
    if not groups and shared is None:
        return _plain(header, count, common)
    return [_enhanced(header, shared, group, index, common) for index, group in enumerate(groups or [shared] * count)]


def _enhanced(header, shared, group, index, common):
    """A frame of an enhanced object: PS3.3 C.7.6.16, and C.8.24 for volumes of ultrasound."""

    def value(sequence, key):
        for source in (group, shared):
            part = source.get(sequence) if source is not None else None
            if part and part[0].get(key) is not None:
                return part[0].get(key)
        return None

    flags = ()
    position = _vector(value("PlanePositionSequence", "ImagePositionPatient"), 3)
    axes = _vector(value("PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    if position is None:
        position = _vector(value("PlanePositionVolumeSequence", "ImagePositionVolume"), 3)
        axes = _vector(value("PlaneOrientationVolumeSequence", "ImageOrientationVolume"), 6)
        flags = ("placed within the probe's volume: how that lies in the patient is not said",) * (position is not None)
    kind = {
        "stack": value("FrameContentSequence", "StackID"),
        "echo time": _number(value("MREchoSequence", "EffectiveEchoTime")),
        "component": value("MRImageFrameTypeSequence", "ComplexImageComponent"),
        "b-value": _number(value("MRDiffusionSequence", "DiffusionBValue")),
        "time": _number(value("FrameContentSequence", "TemporalPositionIndex")),
        "acquisition": _number(value("FrameContentSequence", "FrameAcquisitionNumber")),
        "data type": value("CTImageFrameTypeSequence", "FrameType")
        and str(value("CTImageFrameTypeSequence", "FrameType")),
    }
    slope = _number(value("PixelValueTransformationSequence", "RescaleSlope"))
    intercept = _number(value("PixelValueTransformationSequence", "RescaleIntercept"))
    return Frame(
        index=index,
        position=position,
        axes=axes,
        spacing=_vector(value("PixelMeasuresSequence", "PixelSpacing"), 2),
        kind=kind,
        instance=index,
        scaling=(1.0 if slope is None else slope, intercept or 0.0),
        flags=flags,
        **common,
    )


def _plain(header, count, common):
    """Frames of a file without functional groups: one, or many at equal steps."""
    detector = (header.get("DetectorInformationSequence") or [{}])[0]  # of nuclear medicine, PS3.3 C.8.4.11
    position = _vector(header.get("ImagePositionPatient") or detector.get("ImagePositionPatient"), 3)
    axes = _vector(header.get("ImageOrientationPatient") or detector.get("ImageOrientationPatient"), 6)
    slope, intercept = _number(header.get("RescaleSlope")), _number(header.get("RescaleIntercept"))
    phase = [str(word) for word in header.get("ImageType") or []][2:]
    kind = {
        "echo": _number(header.get("EchoNumbers")),
        "echo time": _number(header.get("EchoTime")),
        "component": header.get("ComplexImageComponent"),
        "image type": "/".join(phase) or None,
        "b-value": _number(header.get("DiffusionBValue")),
        "time": _number(header.get("TemporalPositionIdentifier")),
        "acquisition": _number(header.get("AcquisitionNumber")),
        "trigger time": _number(header.get("TriggerTime")),
    }
    common = {
        **common,
        "axes": axes,
        "spacing": _vector(header.get("PixelSpacing"), 2),
        "kind": kind,
        "instance": _number(header.get("InstanceNumber")) or 0.0,
        "scaling": (1.0 if slope is None else slope, intercept or 0.0),
    }
    if count == 1:
        return [Frame(index=0, position=position, **common)]
    steps, flags = _steps(header, count)
    if steps is None:
        raise UserError(
            f"{common['path']}: {count} frames without positions or a distance between them, a film perhaps and no "
            "volume; left out, export it as an enhanced or a single-frame series"
        )
    if position is None or axes is None:
        flags += ("where it lies is not said: rows to the left, columns to the back, frames upwards are assumed",)
        position, axes = np.zeros(3), np.array([1.0, 0, 0, 0, 1, 0])
    normal = np.cross(axes[:3], axes[3:])
    common["axes"] = axes
    return [Frame(index=n, position=position + steps[n] * normal, flags=flags, **common) for n in range(count)]


def _steps(header, count):
    """Where frames at equal steps lie along the normal, in mm, and what was assumed for it."""
    offsets = _vector(header.get("GridFrameOffsetVector"), count)  # of doses, PS3.3 C.8.8.3
    if offsets is not None:
        return offsets - offsets[0], ()
    between, thick = _number(header.get("SpacingBetweenSlices")), _number(header.get("SliceThickness"))
    if between:
        apart = thick and abs(abs(between) - thick) > 0.01 * thick
        flag = f"frames are {abs(between):g} mm apart (SpacingBetweenSlices), though {thick or 0:g} mm thick"
        return np.arange(count) * between, (flag,) * bool(apart)  # negative: the frames go down, as in SPECT
    if thick:
        return np.arange(count) * thick, (f"distance of frames not said: their thickness, {thick:g} mm, is taken",)
    return None, ()


def _vector(value, count):
    """Numbers of an element; None where it is missing or says something else."""
    try:
        numbers = np.array([float(part) for part in value])
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and np.all(np.isfinite(numbers)) else None


def _number(value):
    if value is not None and not isinstance(value, str | int | float) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    try:
        return float(value) if math.isfinite(float(value)) else None
    except (TypeError, ValueError):
        return None
