"""DICOM series as volumes: grouped, sorted by position, and what is odd about them said."""

import dataclasses
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from app.data.volumes import Volume, read_itk
from app.errors import UserError
from app.files import is_litter

SERIES, POSITION, ORIENTATION, SPACING = "0020|000e", "0020|0032", "0020|0037", "0028|0030"
DESCRIPTION, BODY_PART, IMAGE_TYPE = "0008|103e", "0018|0015", "0008|0008"
TURNS = ("0018|0086", "0020|0012", "0020|0013")  # echo, acquisition, instance: which of two at one place comes first
EVEN = 0.1


@dataclasses.dataclass(frozen=True)
class DicomSeries:
    """One series, its pixels not read yet.

    Args:
        name: Its identifier.
        paths: Files in the order of their slices.
        affine: `(4, 4)`, voxel (column, row, slice) to RAS mm, slices along the series' normal; None for one file
            of many frames, which says itself.
        along: `(n,)`: position of each slice along the normal, in mm.
        body_part: `BodyPartExamined`, "" where the files do not say.
        description: `SeriesDescription`.
        flags: What is odd: slices left out, gaps, gantry tilt.
    """

    name: str
    paths: list
    affine: np.ndarray | None
    along: np.ndarray | None
    body_part: str
    description: str
    flags: list

    def volume(self):
        """Read the pixels.

        Returns:
            `Volume`; uneven slices are interpolated to even ones.

        Raises:
            UserError: If a file is damaged, or one of many frames shows less than two.
        """
        if self.affine is None:
            volume = _read(self.paths[0], read_itk)
            if volume.array.ndim != 3 or volume.array.shape[2] < 2:
                raise UserError(f"{self.paths[0]}: one slice without a position; a volume needs two or more")
            return volume
        slices = np.stack([_read(path, _pixels) for path in self.paths], axis=-1)
        step = np.median(np.diff(self.along))
        if np.abs(np.diff(self.along) - step).max() > EVEN * step:
            wanted = np.arange(self.along[0], self.along[-1] + 0.01 * step, step)
            above = np.clip(np.searchsorted(self.along, wanted), 1, len(self.along) - 1)
            share = (wanted - self.along[above - 1]) / (self.along[above] - self.along[above - 1])
            slices = slices[..., above - 1] * (1 - share) + slices[..., above] * share
        return Volume(slices, self.affine)


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
    """Every series of a folder, its subfolders left aside; headers only.

    Args:
        folder: Path.

    Returns:
        List of `DicomSeries`, and a list of lines about what cannot be read as a volume.
    """
    groups, refused = defaultdict(list), []
    for path in sorted(
        path for path in Path(folder).iterdir() if path.is_file() and not is_litter(path) and is_dicom(path)
    ):
        if path.name.upper() == "DICOMDIR":
            continue
        try:
            header = _header(path)
        except UserError as error:
            refused += error.problems
            continue
        groups[header.get(SERIES, "")].append((path, header))
    found = []
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
    except RuntimeError:
        raise UserError(f"{path}: no image, or damaged; left out (restore it if it is a slice)") from None
    header = {key: reader.GetMetaData(key).strip() for key in reader.GetMetaDataKeys()}
    return {**header, "size": tuple(reader.GetSize()[:2])}


def _series(name, files):
    said = files[0][1].get(BODY_PART, ""), files[0][1].get(DESCRIPTION, "")
    if any("LOCALIZER" in header.get(IMAGE_TYPE, "") for _, header in files):
        raise UserError("a localiser; give the series that it was made for")
    placed = [(path, header) for path, header in files if _placed(header)]
    if len(files) == 1 and not placed:
        flags = ["one file of many frames: their order is taken as it is"]
        return DicomSeries(name, [files[0][0]], None, None, *said, flags)
    if not placed:
        raise UserError("no file says where its slice lies (ImagePositionPatient); it cannot be sorted into a volume")
    flags = []
    _left_out(flags, len(files) - len(placed), "files without a position")
    placed = _of_one_matrix(placed, flags)
    axes = np.array([_numbers(header, ORIENTATION, 6) for _, header in placed])
    most = np.median(axes, axis=0)
    alike = np.abs(axes - most).max(axis=1) < 0.02
    if alike.sum() < 0.5 * len(placed):
        raise UserError("its slices lie in several planes, as a localiser's; give the series that it was made for")
    _left_out(flags, np.sum(~alike), "slices of another plane")
    placed = [one for one, same in zip(placed, alike, strict=True) if same]
    row, column = most[:3] / np.linalg.norm(most[:3]), most[3:] / np.linalg.norm(most[3:])
    normal = np.cross(row, column)
    placed, positions = _sorted(placed, normal, flags)
    along = positions @ normal
    step = float(np.median(np.diff(along)))
    uneven = np.flatnonzero(np.abs(np.diff(along) - step) > EVEN * step)
    if len(uneven):
        flags.append(
            f"uneven slices: {len(uneven)} steps other than {step:.2f} mm, the first after slice {uneven[0]}; "
            "interpolated to even ones, which slice numbers count"
        )
    shift = (positions[-1] - positions[0]) / (along[-1] - along[0])
    tilt = float(np.degrees(np.arccos(np.clip(shift @ normal / np.linalg.norm(shift), -1, 1))))
    if tilt > 1.0:
        flags.append(f"gantry tilt of {tilt:.1f} degrees")
    spacing = _numbers(placed[0][1], SPACING, 2)
    if spacing is None:
        raise UserError("PixelSpacing is missing; without it there are no millimetres")
    # PixelSpacing: between rows first. The array's first axis runs along a row; LPS becomes RAS.
    columns = np.stack([row * spacing[1], column * spacing[0], shift * step, positions[0]], axis=1)
    affine = np.eye(4)
    affine[:3] = np.diag([-1.0, -1.0, 1.0]) @ columns
    return DicomSeries(name, [path for path, _ in placed], affine, along, *said, flags)


def _placed(header):
    return _numbers(header, POSITION, 3) is not None and _numbers(header, ORIENTATION, 6) is not None


def _of_one_matrix(placed, flags):
    sizes = Counter(header["size"] for _, header in placed)
    most = sizes.most_common(1)[0][0]
    _left_out(flags, len(placed) - sizes[most], f"slices of another matrix than {most[0]} x {most[1]}")
    return [one for one in placed if one[1]["size"] == most]


def _sorted(placed, normal, flags):
    """By position; of several at one place the first echo, acquisition and instance."""

    def turn(one):
        position = float(_numbers(one[1], POSITION, 3) @ normal)
        turns = [_numbers(one[1], key, 1) for key in TURNS]
        return round(position, 2), *(0.0 if number is None else float(number[0]) for number in turns)

    placed = sorted(placed, key=turn)
    positions = np.array([_numbers(header, POSITION, 3) for _, header in placed])
    fresh = np.r_[True, np.diff(positions @ normal) > 0.05]
    if fresh.sum() < 2:
        raise UserError(f"{fresh.sum()} slice; a volume needs two or more")
    _left_out(flags, np.sum(~fresh), "slices of the same position (later echoes, times or exports)")
    return [one for one, new in zip(placed, fresh, strict=True) if new], positions[fresh]


def _left_out(flags, count, what):
    if count:
        flags.append(f"{count} {what} left out")


def _read(path, read):
    try:
        return read(path)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[-120:]
        raise UserError(f"{path}: damaged DICOM file ({reason}); restore it from its source") from None


def _pixels(path):
    """`(columns, rows)`, rescaled."""
    import SimpleITK

    array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO"))
    if array.ndim > 3:
        raise UserError(f"{path}: a colour picture, not an MR or CT slice")
    return np.asarray(array[0] if array.ndim > 2 else array).T


def _numbers(header, key, count):
    """Numbers of a tag; None where it is missing or says something else."""
    try:
        found = np.array([float(one) for one in header.get(key, "").split("\\")])
    except ValueError:
        return None
    return found if len(found) == count and np.all(np.isfinite(found)) else None
