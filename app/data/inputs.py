"""What a user hands to `predict`: files, folders of them, folders of DICOM series."""

import hashlib
import os
from pathlib import Path

from app.data.content import known_suffix
from app.data.dicom import is_dicom, named_part, read_dicom_folder
from app.data.orthogonal import on_orthogonal_grid
from app.data.read import read_volume
from app.errors import UserError
from app.files import is_litter
from app.notes import note

LONGEST_NAME = 180  # bytes: file systems take 255, and results add to the name


class Input:
    """A volume, read when its turn comes.

    Args:
        name: For the names of its results.
        path: File or DICOM folder.
        series: `DicomSeries`, or None.
        nan: As for `read_volume`.
    """

    def __init__(self, name, path, series=None, nan="refuse"):
        self.name, self.path, self.series, self.nan = name, Path(path), series, nan

    def volume(self):
        """The `Volume`."""
        return on_orthogonal_grid(self.series.volume(), self.path) if self.series else read_volume(self.path, self.nan)


def find_volumes(inputs, nan="refuse"):
    """Volumes among files, folders and DICOM series.

    Args:
        inputs: Paths.
        nan: As for `read_volume`.

    Returns:
        List of `Input`, their names all different, and list of problems.

    Raises:
        UserError: If there is none.
    """
    volumes, problems = [], []
    for given, part in map(named_part, inputs):
        given = given.parent if given.name.upper() == "DICOMDIR" else given
        if os.path.isdir(given):
            for folder in _folders(given):
                _add_folder(folder, volumes, problems, nan, part)
        elif os.path.isfile(given):
            if is_dicom(given):
                series, refused = read_dicom_folder(given, part)
                volumes += [Input(given.stem, given, dicom_series) for dicom_series in series]
                problems += [f"{given}: one file of a DICOM series; give its folder"] if not series else refused
            else:
                volumes.append(Input(_stem(given), given, nan=nan))
        else:
            problems.append(f"{given}: no such file or folder; correct the path")
    for volume in volumes:
        volume.name = _short(volume.name, volume.path)
    names = [volume.name for volume in volumes]
    for number, item in enumerate(volumes):  # two files of one name must not overwrite each other's results
        if names.count(item.name) > 1:
            while f"{item.name}-{number:03d}" in names:
                number += 1
            item.name = f"{item.name}-{number:03d}"
            names.append(item.name)
    if not volumes:
        raise UserError(problems or [f"{', '.join(map(str, inputs))}: no image file and no DICOM series there"])
    return volumes, problems


def _folders(top):
    """A folder and all below it, each once: links are followed, and may lead in circles."""
    seen = set()
    for folder, below, _ in os.walk(top, followlinks=True):
        below[:] = sorted(name for name in below if not is_litter(name))
        if (place := os.path.realpath(folder)) in seen:
            below.clear()
            continue
        seen.add(place)
        yield Path(folder)


def _short(name, path):
    """A name that leaves room for what results add to it."""
    stored = name.encode(errors="surrogateescape")
    if len(stored) <= LONGEST_NAME:
        return name
    short = f"{stored[: LONGEST_NAME - 9].decode(errors='ignore')}-{hashlib.sha256(stored).hexdigest()[:8]}"
    note(f"{path}: its name is too long for names of results; they begin with {short}")
    return short


def _add_folder(folder, volumes, problems, nan, part):
    paths = [path for path in sorted(folder.iterdir()) if not is_litter(path)]
    problems += [
        f"{path}: a link to a file that is not there; fetch it (git annex get, git lfs pull), or remove the link"
        for path in paths
        if path.is_symlink() and not path.exists()
    ]
    files = [path for path in paths if path.is_file()]
    volumes += [Input(_stem(path), path, nan=nan) for path in files if known_suffix(path)]
    if any(is_dicom(path) for path in files):
        series, refused = read_dicom_folder(folder, part)
        problems += refused
        for index, dicom_series in enumerate(series):
            name = folder.resolve().name
            name = name if len(series) == 1 else f"{name}-{index}"
            volumes.append(Input(name, folder, dicom_series))


def _stem(path):
    name = path.name
    suffix = known_suffix(path) or path.suffix
    return name[: -len(suffix)] if suffix else name
