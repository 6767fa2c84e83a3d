"""Cohorts with regions: volumes read once into slices and their classes."""

import dataclasses
from pathlib import Path

import numpy as np

from app.data.read import read_volume
from app.data.read_all import read_all
from app.data.split import split_cohort
from app.data.tables import csv_rows
from app.errors import UserError
from app.systems.fov.axial import AxialStack, axial_stack
from app.systems.fov.regions import slice_classes

CONTEXT_MM = 15.0


@dataclasses.dataclass(frozen=True)
class Examination:
    """One volume of a cohort: its subject, image file, regions as the CSV says them, the folder of the CSV, and what is
    done with voxels that are NaN (see `read_volume`)."""

    subject: str
    image: Path
    regions: str
    base: Path
    nan: str = "refuse"


@dataclasses.dataclass(frozen=True)
class LabelledStack:
    """A volume's slices with the class of each.

    Args:
        examination: `Examination`.
        stack: `AxialStack`.
        slices: `(n, size, size, channels)`, uint8: each slice with its neighbours.
        classes: `(n,)` integers, see `slice_classes`.
    """

    examination: Examination
    stack: AxialStack
    slices: np.ndarray
    classes: np.ndarray


def read_examinations(path, nan="refuse"):
    """List a cohort's volumes.

    Args:
        path: CSV of `subject, image, regions`; a subject may have several volumes.
        nan: As for `read_volume`.

    Returns:
        List of `Examination`.

    Raises:
        UserError: If the file is missing, empty, or lacks a column.
    """
    path = Path(path)
    rows = csv_rows(path, ("subject", "image", "regions"))
    if not rows:
        raise UserError(f"{path}: the cohort is empty; add a line 'subject,image,regions' a volume")
    return [Examination(row["subject"], path.parent / row["image"], row["regions"], path.parent, nan) for row in rows]


def split_examinations(examinations, split, seed):
    """Deal subjects, with all their volumes, to training, validation and test.

    Args:
        examinations: List of `Examination`.
        split: `SplitConfig`, in subjects.
        seed: Integer.

    Returns:
        Dict from "train", "validate", "test" to a list of `Examination`.

    Raises:
        UserError: If there are too few subjects.
    """
    names = list(dict.fromkeys(examination.subject for examination in examinations))
    dealt = split_cohort(names, split, seed)
    parts = {
        part: [examination for examination in examinations if examination.subject in chosen]
        for part, chosen in dealt.items()
    }
    empty = [part for part, cases in parts.items() if not cases]
    if empty:
        raise UserError(f"data.split: no subject for {', '.join(empty)} of {len(names)}; change the split")
    return parts


def load_examinations(examinations, size, context, rule):
    """Read volumes, all that is wrong with any is listed.

    Args:
        examinations: List of `Examination`.
        size: Rows and columns of a slice.
        context: Its neighbours, see `with_context`.
        rule: `IntensityRule`.

    Returns:
        List of `LabelledStack`.

    Raises:
        UserError: Listing every problem of every volume.
    """

    def read(examination):
        volume = read_volume(examination.image, examination.nan)
        stack = axial_stack(volume, size, rule, examination.image)
        classes = slice_classes(examination.regions, stack, examination.base, volume)
        return LabelledStack(examination, stack, with_context(stack, context), classes)

    return read_all(examinations, read, lambda examination: [examination.image])


def with_context(stack, context):
    """Each slice with its neighbours as channels.

    Args:
        stack: `AxialStack`.
        context: Neighbours on each side, 15 mm apart whatever the spacing; 0 for the slice alone.

    Returns:
        `(n, size, size, 2 * context + 1)`, uint8.
    """
    slices = np.round(stack.slices * 255).astype("uint8")
    count = len(slices)
    step = max(1, round(CONTEXT_MM / stack.spacing_mm))
    places = np.arange(count)[:, None] + step * np.arange(-context, context + 1)
    return np.moveaxis(slices[np.clip(places, 0, count - 1)], 1, -1)
