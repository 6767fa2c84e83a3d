"""DICOM series as volumes: grouped, sorted by position, and what is odd about them said."""

import dataclasses
from collections import defaultdict
from pathlib import Path

import numpy as np

from app.data.volumes import Volume
from app.errors import UserError

SERIES, POSITION, ORIENTATION, SPACING = "0020|000e", "0020|0032", "0020|0037", "0028|0030"
DESCRIPTION, BODY_PART, IMAGE_TYPE = "0008|103e", "0018|0015", "0008|0008"
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclasses.dataclass(frozen=True)
class DicomSeries:
    """One series.

    Args:
        name: Its identifier.
        volume: `Volume`, axes (column, row, slice), slices along the series' normal.
        body_part: `BodyPartExamined`, "" where the files do not say.
        description: `SeriesDescription`.
        flags: What is odd: duplicates left out, gaps, gantry tilt, localisers.
    """

    name: str
    volume: Volume
    body_part: str
    description: str
    flags: list


def is_dicom(path):
    """Whether a file is DICOM, by its preamble.

    Args:
        path: File.

    Returns:
        Bool.
    """
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_dicom_folder(folder):
    """Every series of a folder, its subfolders left aside.

    Args:
        folder: Path.

    Returns:
        List of `DicomSeries`, and a list of lines about series that cannot be read as a volume.

    Raises:
        UserError: If a file is damaged.
    """
    groups = defaultdict(list)
    for path in sorted(path for path in Path(folder).iterdir() if path.is_file() and is_dicom(path)):
        header = _header(path)
        groups[header[SERIES]].append((path, header))
    found, refused = [], []
    for name, files in groups.items():
        try:
            found.append(_series(name, files))
        except UserError as error:
            refused += [f"{folder}: series {name}: {problem}" for problem in error.problems]
    return found, refused


def _header(path):
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise UserError(f"{path}: damaged DICOM file ({_line(error)}); restore it from its source") from None
    return {key: reader.GetMetaData(key).strip() for key in reader.GetMetaDataKeys()} | {SERIES: _get(reader, SERIES)}


def _get(reader, key):
    return reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else ""


def _series(name, files):
    flags = []
    if len(files) == 1 and POSITION not in files[0][1]:
        return _multi_frame(name, *files[0])
    placed = [(path, header) for path, header in files if POSITION in header and ORIENTATION in header]
    if len(placed) < len(files):
        flags.append(f"{len(files) - len(placed)} files without a position left out")
    if not placed:
        raise UserError("no file says where its slice lies (ImagePositionPatient); it cannot be sorted into a volume")
    axes = np.array([_numbers(header[ORIENTATION]) for _, header in placed])
    most = np.median(axes, axis=0)
    alike = np.abs(axes - most).max(axis=1) < 0.02
    if alike.sum() < 0.5 * len(placed) or any("LOCALIZER" in header.get(IMAGE_TYPE, "") for _, header in placed):
        raise UserError("a localiser: its slices lie in several planes; give the series that it was made for")
    if not alike.all():
        flags.append(f"{np.sum(~alike)} slices of another plane left out")
    placed = [one for one, same in zip(placed, alike, strict=True) if same]
    row, column = most[:3] / np.linalg.norm(most[:3]), most[3:] / np.linalg.norm(most[3:])
    normal = np.cross(row, column)
    positions = np.array([_numbers(header[POSITION]) for _, header in placed])
    order = np.argsort(positions @ normal, kind="stable")
    placed, positions = [placed[index] for index in order], positions[order]
    along = positions @ normal
    fresh = np.r_[True, np.diff(along) > 1e-3]
    if not fresh.all():
        flags.append(f"{np.sum(~fresh)} slices of the same position left out (several echoes or a repeated export)")
        placed, positions = [one for one, new in zip(placed, fresh, strict=True) if new], positions[fresh]
        along = along[fresh]
    if len(placed) < 2:
        raise UserError(f"{len(placed)} slice; a volume needs two or more")
    steps = np.diff(along)
    step = float(np.median(steps))
    gaps = np.flatnonzero(np.abs(steps - step) > 0.1 * step)
    if len(gaps):
        flags.append(f"uneven slices: {len(gaps)} gaps other than {step:.2f} mm, the first after slice {gaps[0]}")
    shift = (positions[-1] - positions[0]) / (along[-1] - along[0])
    tilt = float(np.degrees(np.arccos(np.clip(shift @ normal / np.linalg.norm(shift), -1, 1))))
    if tilt > 1.0:
        flags.append(f"gantry tilt of {tilt:.1f} degrees")
    slices = np.stack([_pixels(path) for path, _ in placed], axis=-1)
    header = placed[0][1]
    spacing = _numbers(header.get(SPACING, "1\\1"))
    mean_step = shift * (along[-1] - along[0]) / (len(along) - 1)
    affine = np.eye(4)
    # PixelSpacing: between rows first. The array's first axis runs along a row.
    affine[:3, 0] = LPS_TO_RAS @ row * spacing[1]
    affine[:3, 1] = LPS_TO_RAS @ column * spacing[0]
    affine[:3, 2] = LPS_TO_RAS @ mean_step
    affine[:3, 3] = LPS_TO_RAS @ positions[0]
    return DicomSeries(name, Volume(slices, affine), header.get(BODY_PART, ""), header.get(DESCRIPTION, ""), flags)


def _multi_frame(name, path, header):
    """An enhanced file: all slices in one."""
    from app.data.volumes import read_itk

    volume = read_itk(path)
    if volume.array.ndim != 3 or volume.array.shape[2] < 2:
        raise UserError(f"{path.name}: one slice without a position; a volume needs two or more")
    flags = ["one file of many frames: their order is taken as it is"]
    return DicomSeries(name, volume, header.get(BODY_PART, ""), header.get(DESCRIPTION, ""), flags)


def _pixels(path):
    """`(columns, rows)`, rescaled."""
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO")
    except RuntimeError as error:
        raise UserError(f"{path}: damaged DICOM file ({_line(error)}); restore it from its source") from None
    array = SimpleITK.GetArrayFromImage(image)
    return np.asarray(array[0] if array.ndim > 2 else array).T


def _numbers(text):
    return np.array([float(one) for one in text.split("\\")])


def _line(error):
    return " ".join(str(error).split())[-120:]
