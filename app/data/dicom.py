"""DICOM series as volumes: grouped, sorted by position, and what is odd about them said."""

import dataclasses
import os
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from app.data.dicom_file import is_dicom
from app.data.dicom_frames import read_header
from app.data.dicom_pixels import read_pixels
from app.data.volume import Volume
from app.errors import UserError
from app.files import as_stored, is_litter

EVEN = 0.1
SAME_PLACE_MM = 0.05
OVERLAP = 0.5  # share of the places that two acquisitions of one volume may have in common


@dataclasses.dataclass(frozen=True)
class DicomSeries:
    """One series, its pixels not read yet.

    Args:
        name: Its identifier.
        frames: `Frame`s in the order of the slices.
        affine: `(4, 4)`, voxel (column, row, slice) to RAS mm, slices along the series' normal.
        along: `(n,)`: position of each slice along the normal, in mm.
        body_part: `BodyPartExamined`, "" where the files do not say.
        description: `SeriesDescription`.
        flags: What is odd: slices left out, gaps, gantry tilt.
    """

    name: str
    frames: list
    affine: np.ndarray
    along: np.ndarray
    body_part: str
    description: str
    flags: list

    def volume(self):
        """Read the pixels.

        Returns:
            `Volume`; uneven slices are interpolated to even ones.

        Raises:
            UserError: If a file is damaged.
        """
        slices = np.stack([read_pixels(frame) for frame in self.frames], axis=-1)
        step = np.median(np.diff(self.along))
        if np.abs(np.diff(self.along) - step).max() > EVEN * step:
            wanted = np.arange(self.along[0], self.along[-1] + 0.01 * step, step)
            above = np.clip(np.searchsorted(self.along, wanted), 1, len(self.along) - 1)
            share = (wanted - self.along[above - 1]) / (self.along[above] - self.along[above - 1])
            slices = slices[..., above - 1] * (1 - share) + slices[..., above] * share
        return Volume(slices, self.affine)


def named_part(path):
    """A path and the part of a series that it asks for: `FOLDER#2` is the second of several acquisitions.

    Args:
        path: As a user gives it.

    Returns:
        `Path`, and a number from 1; None where no part is named.
    """
    path = as_stored(path)
    asked = re.fullmatch(r"(.+)#(\d+)", str(path))
    if asked is None or os.path.exists(path):
        return path, None
    return as_stored(asked[1]), int(asked[2])


def read_dicom_folder(folder, part=None):
    """Every series of a folder, its subfolders left aside; headers only.

    Args:
        folder: Path, or that of one file.
        part: Which of several acquisitions (echoes, phases, times) of a series, from 1; None: the first, which is
            flagged.

    Returns:
        List of `DicomSeries`, and a list of lines about what cannot be read as a volume.
    """
    folder = Path(folder)
    paths = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    groups, refused = defaultdict(list), []
    for path in paths:
        if not path.is_file() or is_litter(path) or path.name.upper() == "DICOMDIR" or not is_dicom(path):
            continue
        try:
            header = read_header(path)
        except UserError as error:
            refused += error.problems
            continue
        groups[header.series].append(header)
    series = []
    for name, headers in groups.items():
        try:
            series.append(_series(name, headers, part))
        except UserError as error:
            refused += [f"{folder}: series {name}: {problem}" for problem in error.problems]
    return series, refused


def _series(name, headers, part):
    if any(header.localiser for header in headers):
        raise UserError("a localiser; give the series that it was made for")
    frames = [frame for header in headers for frame in header.frames]
    flags = []
    placed = [frame for frame in frames if frame.position is not None and frame.axes is not None]
    if not placed:
        raise UserError("no file says where its slice lies (ImagePositionPatient); it cannot be sorted into a volume")
    _left_out(flags, len(frames) - len(placed), "files without a position")
    placed = _once(placed, flags)
    placed = _chosen_part(placed, flags, part)
    placed = _of_one_matrix(placed, flags)
    placed, row, column = _of_one_plane(placed, flags)
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
    spacing = _one_spacing(placed)
    # PixelSpacing: between rows first. The array's first axis runs along a row; LPS becomes RAS.
    columns = np.stack([row * spacing[1], column * spacing[0], shift * step, positions[0]], axis=1)
    affine = np.eye(4)
    affine[:3] = np.diag([-1.0, -1.0, 1.0]) @ columns
    flags += dict.fromkeys(flag for frame in placed for flag in frame.flags)
    return DicomSeries(name, placed, affine, along, headers[0].body_part, headers[0].description, flags)


def _of_one_plane(frames, flags):
    """Frames of the plane that most lie in, and the directions of its rows and columns."""
    axes = np.array([frame.axes for frame in frames])
    most = np.median(axes, axis=0)
    alike = np.abs(axes - most).max(axis=1) < 0.02
    if alike.sum() < 0.5 * len(frames):
        raise UserError("its slices lie in several planes, as a localiser's; give the series that it was made for")
    _left_out(flags, np.sum(~alike), "slices of another plane")
    kept = [frame for frame, same in zip(frames, alike, strict=True) if same]
    return kept, most[:3] / np.linalg.norm(most[:3]), most[3:] / np.linalg.norm(most[3:])


def _one_spacing(frames):
    spacings = {tuple(np.round(frame.spacing, 4)) if frame.spacing is not None else None for frame in frames}
    if None in spacings:
        raise UserError("PixelSpacing is missing; without it there are no millimetres")
    if len(spacings) > 1:
        raise UserError(f"its slices have pixels of {len(spacings)} sizes; export one reconstruction at a time")
    return frames[0].spacing


def _once(frames, flags):
    """Without second copies of a file; anonymisers give one identifier to many, which are no copies."""

    def identity(frame):
        return frame.image, frame.index, frame.size, *frame.position, *frame.kind.values()

    kept = list({identity(frame): frame for frame in reversed(frames)}.values())[::-1]
    _left_out(flags, len(frames) - len(kept), "second copies of a file")
    return kept


def _chosen_part(frames, flags, part):
    """Of several acquisitions of the same places, that which is asked for.

    They are distinguished by what differs between frames of one place: echo, component, time, acquisition.
    """
    places = defaultdict(list)
    for frame in frames:
        places[tuple(np.round(np.r_[frame.position, frame.axes], 2) + 0.0)].append(frame)
    shared = [here for here in places.values() if len(here) > 1]
    telling = [
        key for key in frames[0].kind if any(len({frame.kind.get(key) for frame in here}) > 1 for here in shared)
    ]
    parts = defaultdict(list)
    for item in frames:
        parts[tuple(item.kind.get(key) for key in telling)].append(item)
    if len(shared) <= OVERLAP * min(map(len, parts.values())):  # the ends of blocks that make one volume
        parts = {(): frames}
    parts = sorted(parts.items(), key=lambda entry: [(value is None, str(type(value)), value) for value in entry[0]])
    if part is not None and not 1 <= part <= len(parts):
        raise UserError(f"#{part}: it has {len(parts)} parts; name one from 1 to {len(parts)}")
    if len(parts) == 1:
        return frames
    number = part or 1
    described = [
        f"#{index} {', '.join(f'{key} {_plainly(value)}' for key, value in zip(telling, key_values, strict=True))} "
        f"({len(these)} slices)"
        for index, (key_values, these) in enumerate(parts, start=1)
    ]
    rest = described[: number - 1] + described[number:]
    listed = "; ".join(rest[:4]) + (f"; and {len(rest) - 4} more" if len(rest) > 4 else "")
    flags.append(f"{len(parts)} parts: {described[number - 1]} is read, left out: {listed}; FOLDER#N reads part N")
    return parts[number - 1][1]


def _plainly(value):
    return f"{value:g}" if isinstance(value, float) else str(value)[:40]


def _of_one_matrix(placed, flags):
    sizes = Counter(frame.size for frame in placed)
    most = sizes.most_common(1)[0][0]
    _left_out(flags, len(placed) - sizes[most], f"slices of another matrix than {most[0]} x {most[1]}")
    return [frame for frame in placed if frame.size == most]


def _sorted(placed, normal, flags):
    """By position; of several at one place the first instance."""
    placed = sorted(placed, key=lambda frame: (round(float(frame.position @ normal), 2), frame.instance, frame.index))
    positions = np.array([frame.position for frame in placed])
    fresh = np.r_[True, np.diff(positions @ normal) > SAME_PLACE_MM]
    if fresh.sum() < 2:
        raise UserError(f"{fresh.sum()} slice; a volume needs two or more")
    _left_out(flags, np.sum(~fresh), "slices of the same position (later times or exports)")
    return [item for item, new in zip(placed, fresh, strict=True) if new], positions[fresh]


def _left_out(flags, count, what):
    if count:
        flags.append(f"{count} {what} left out")


def has_dicom_below(folder):
    """Whether subfolders hold DICOM files, as below a DICOMDIR.

    Args:
        folder: Path.

    Returns:
        Bool.
    """
    return any(is_dicom(Path(top) / name) for top, _, names in os.walk(folder) for name in names[:20])
