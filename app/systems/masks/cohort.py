"""Cohorts of two populations: images, masks, and who is from which."""

import dataclasses
from pathlib import Path

import numpy as np

from app.data.cube import CubeGrid, cube_grid, to_cube
from app.data.read import read_labels, read_volume
from app.data.read_all import read_all
from app.data.sound import check_three_axes
from app.data.split import split_cohort
from app.data.tables import csv_rows
from app.data.volume import Volume
from app.errors import UserError, list_problems

POPULATIONS = ("source", "target")


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of a cohort: subject, image file, mask file, population ("source" or "target"), and what is done with
    voxels that are NaN (see `read_volume`)."""

    subject: str
    image: Path
    mask: Path
    population: str
    nan: str = "refuse"

    def volume(self):
        """The image, a `Volume`."""
        return read_volume(self.image, self.nan)


@dataclasses.dataclass(frozen=True)
class CubeCase:
    """A case on its cube.

    Args:
        case: `Case`.
        grid: `CubeGrid`.
        image: `(size, size, size)`, float16 in [0, 1].
        mask: `(size, size, size, structures)`, bool.
    """

    case: Case
    grid: CubeGrid
    image: np.ndarray
    mask: np.ndarray


def cohort_path(data, phantoms):
    """The cohort of a config: its file, or that of phantoms which are simulated now.

    Args:
        data: `CubeDataConfig`.
        phantoms: Folder to simulate into.

    Returns:
        Path of a CSV for `read_cases`.
    """
    if data.phantom is None:
        return data.cohort
    from app.data.phantoms.kidneys import write_kidneys

    return write_kidneys(phantoms, data.phantom)


def read_cases(path, nan="refuse"):
    """List a cohort.

    Args:
        path: CSV of `subject, image, mask[, population]`, paths relative to it. Without the last column all
            are "source".
        nan: As for `read_volume`.

    Returns:
        List of `Case`.

    Raises:
        UserError: If the file is missing, empty, lacks a column, or a population is unknown.
    """
    path = Path(path)
    rows = csv_rows(path, ("subject", "image", "mask"))
    if not rows:
        raise UserError(f"{path}: the cohort is empty; add a line 'subject,image,mask,population' a volume")
    populations = [row.get("population", "source") or "" for row in rows]
    unknown = sorted(set(populations) - set(POPULATIONS))
    list_problems([f"{path}: population '{name}' is unknown; write source or target" for name in unknown])
    base = path.parent
    return [
        Case(row["subject"], base / row["image"], base / row["mask"], population, nan)
        for row, population in zip(rows, populations, strict=True)
    ]


def split_cases(cases, split, seed):
    """Deal the subjects of each population to training, validation and test, with all their volumes.

    Args:
        cases: List of `Case`.
        split: `SplitConfig`, shares or counts within each population.
        seed: Integer.

    Returns:
        Dict from "train", "validate", "test" to a list of `Case`.

    Raises:
        UserError: If a population is too small, or a subject is in both.
    """
    parts = {"train": [], "validate": [], "test": []}
    for population in POPULATIONS:
        own = [case for case in cases if case.population == population]
        if not own:
            continue
        names = list(dict.fromkeys(case.subject for case in own))
        strangers = {case.subject for case in cases if case.population != population} & set(names)
        if strangers:
            raise UserError(f"subjects are in both populations: {', '.join(sorted(strangers)[:5])}; correct the cohort")
        dealt = split_cohort(names, split, seed)
        for part, chosen in dealt.items():
            parts[part] += [case for case in own if case.subject in chosen]
    return parts


def split_rows(parts):
    """Who was dealt where, for a run's `split.csv`.

    Args:
        parts: As `split_cases` returns them.

    Returns:
        List of dicts of strings.
    """
    return [
        {"part": name, "subject": part.subject, "population": part.population, "image": part.image.name}
        for name in parts
        for part in parts[name]
    ]


def load_cases(cases, data, structures=None):
    """Read cases onto their cubes; all that is wrong with any is listed.

    Args:
        cases: List of `Case`.
        data: `CubeDataConfig`: size and spacing of a cube, and the rule for intensities.
        structures: For each structure the values of the mask that count; None for one structure of value 1, and
            nothing but 0 and 1 may be there.

    Returns:
        List of `CubeCase`.

    Raises:
        UserError: Listing every problem of every case.
    """

    def read(case):
        image = case.volume()
        mask = read_mask(case, image, structures)
        grid = cube_grid(image, data.size, data.spacing_mm)
        cube = data.unit_range(to_cube(image, grid), case.image).astype("float16")
        parts = [to_cube(Volume(part, image.affine, image.header), grid) > 0.5 for part in np.moveaxis(mask, -1, 0)]
        if not all(part.any() for part in parts):
            raise UserError(
                f"{case.mask}: nothing is left of it in voxels of {data.spacing_mm:g} mm; lower data.spacing_mm"
            )
        return CubeCase(case, grid, cube, np.stack(parts, axis=-1))

    return read_all(cases, read, lambda case: [case.image, case.mask])


def stand_ins(data):
    """Noise in the place of the training volumes that a config would simulate: for a dry run to measure with.

    Args:
        data: `CubeDataConfig` with a phantom.

    Returns:
        List of `CubeCase`, as many of each population as would be trained on.
    """
    image = np.random.default_rng(0).random((data.size,) * 3).astype("float16")
    mask = np.stack([image > 0.5] * len(data.labels or [1]), axis=-1)
    return [
        CubeCase(Case(f"{population}-{index}", Path(), Path(), population), None, image, mask)
        for population, count in simulated_counts(data).items()
        for index in range(count)
    ]


def simulated_counts(data):
    """How many volumes of a simulated cohort are trained on.

    Args:
        data: `CubeDataConfig` with a phantom.

    Returns:
        Dict from population to count.

    Raises:
        UserError: If the split does not fit.
    """
    totals = {"source": data.phantom.adults, "target": data.phantom.children}
    return {name: data.split.counts(total)["train"] if total else 0 for name, total in totals.items()}


def read_mask(case, image, structures=None):
    """The mask of a case.

    Args:
        case: `Case`.
        image: Its `Volume`.
        structures: As for `load_cases`.

    Returns:
        `(i, j, k, structures)`, bool.

    Raises:
        UserError: If the image is not 3D; if the mask does not lie on the image's grid, holds other values, or a
            structure is not there.
    """
    check_three_axes(image)
    mask = read_labels(case.mask)
    if not mask.same_grid(image, (case.mask, case.image)):
        raise UserError(
            f"{case.mask}: shape {mask.array.shape}, the image's is {image.array.shape}, or another affine; bring the "
            "mask onto the image's grid"
        )
    values = np.unique(mask.array)
    if structures is None and not np.all(np.isin(values, (0, 1))):
        found = ", ".join(f"{value:g}" for value in values[:6])
        raise UserError(f"{case.mask}: values {found}; expected 0 and 1, or name those that count in data.labels")
    inside = np.stack([np.isin(mask.array, values) for values in structures or [[1]]], axis=-1)
    if not inside.any():
        raise UserError(f"{case.mask}: nothing is marked; correct the mask or remove the line")
    for item, there in zip(structures or [[1]], inside.any(axis=(0, 1, 2)), strict=True):
        if not there:
            named = ", ".join(map(str, item))
            raise UserError(f"{case.mask}: nothing has the label {named}; correct data.labels or remove the line")
    return inside
