"""What a user hands to `predict`: files, folders of them, folders of DICOM series."""

import os
from pathlib import Path

from app.data.content import known_suffix
from app.data.dicom import is_dicom, read_dicom_folder
from app.data.volumes import read_volume
from app.errors import UserError
from app.files import is_litter


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
        return self.series.volume() if self.series else read_volume(self.path, self.nan)


def find_volumes(inputs, task, nan="refuse"):
    """Volumes among files, folders and DICOM series.

    Args:
        inputs: Paths.
        task: Name of the task that predicts, for the message.
        nan: As for `read_volume`.

    Returns:
        List of `Input`, their names all different, and list of problems.

    Raises:
        UserError: If nothing is given or nothing found.
    """
    if not inputs:
        raise UserError(f"{task} predict: --input is missing; give files, folders or DICOM series")
    found, problems = [], []
    for given in map(Path, inputs):
        if os.path.isdir(given):
            for folder in [given, *sorted(path for path in given.rglob("*") if path.is_dir())]:
                if not any(map(is_litter, folder.relative_to(given).parts)):
                    _add_folder(folder, found, problems, nan)
        elif os.path.isfile(given):
            if is_dicom(given):
                problems.append(f"{given}: one file of a DICOM series; give its folder")
            else:
                found.append(Input(_stem(given), given, nan=nan))
        else:
            problems.append(f"{given}: no such file or folder; correct the path")
    names = [one.name for one in found]
    for number, one in enumerate(found):  # two files of one name must not overwrite each other's results
        if names.count(one.name) > 1:
            while f"{one.name}-{number:03d}" in names:
                number += 1
            one.name = f"{one.name}-{number:03d}"
            names.append(one.name)
    if not found:
        raise UserError(problems or [f"{', '.join(map(str, inputs))}: no image file and no DICOM series there"])
    return found, problems


def _add_folder(folder, found, problems, nan):
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not is_litter(path)]
    found += [Input(_stem(path), path, nan=nan) for path in files if known_suffix(path)]
    if any(is_dicom(path) for path in files):
        series, refused = read_dicom_folder(folder)
        problems += refused
        for index, one in enumerate(series):
            name = folder.resolve().name
            name = name if len(series) == 1 else f"{name}-{index}"
            found.append(Input(name, folder, one))


def _stem(path):
    name = path.name
    suffix = known_suffix(path) or path.suffix
    return name[: -len(suffix)] if suffix else name
