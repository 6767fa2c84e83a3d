"""Regions of the body along a volume: what a cohort's CSV says, and classes of slices."""

import re
from pathlib import Path

import numpy as np

from app.data.content import FORMATS
from app.data.read import read_labels
from app.errors import UserError

# Classes of a slice: nothing, the regions from the feet upwards, and examinations of the spine.
CLASSES = ("none", "legs", "pelvis", "abdomen", "chest", "head", "spine")
CHAIN = CLASSES[1:6]
IGNORED = -1
RANGE = re.compile(r"\s*([a-z]+)(?:\s+(-?\d+(?:\.\d+)?)\s*:\s*(-?\d+(?:\.\d+)?)\s*(mm)?)?\s*")


def slice_classes(text, stack, base, volume=None):
    """Class of each slice of a volume.

    Args:
        text: "REGION LOW:HIGH" for each, joined by ";": first and last slice, counted from 0 along the
            file's own axis, or heights with "mm" behind; "REGION" alone for the whole volume; "ignore" for
            slices that nobody knows. Or a file of labels on the volume's grid, 1 legs to 6 spine.
        stack: `AxialStack` of the volume.
        base: Folder to which a file is relative.
        volume: `Volume` of the image, whose grid a file of labels must share.

    Returns:
        `(n,)` integers: indices into `CLASSES`, -1 where ignored; slices that no range covers are "none".

    Raises:
        UserError: If the text is not understood, a region is unknown, ranges overlap or cover nothing.
    """
    text = text.strip()
    if text.lower().endswith(tuple(FORMATS)):
        return _from_labels(Path(base) / text, stack, volume)
    classes = np.zeros(len(stack.slices), int)
    taken = np.zeros(len(classes), bool)
    for part in filter(str.strip, text.split(";")):
        match = RANGE.fullmatch(part.lower())
        if not match:
            raise UserError(
                f"regions: '{part.strip()}' is not understood; write e.g. 'chest 10:45' or 'chest 110:320 mm'"
            )
        name, low, high, unit = match.groups()
        if name not in (*CLASSES, "ignore"):
            raise UserError(f"regions: '{name}' is unknown; known: {', '.join(CLASSES)}, ignore")
        covered = _covered(low, high, unit, stack, part)
        if np.any(taken & covered):
            raise UserError(f"regions: '{part.strip()}' overlaps another range; each slice has one region")
        taken |= covered
        classes[covered] = IGNORED if name == "ignore" else CLASSES.index(name)
    if not taken.any():
        raise UserError("regions: none is given; write e.g. 'chest 10:45'")
    return classes


def _covered(low, high, unit, stack, part):
    if low is None:
        return np.ones(len(stack.slices), bool)
    low, high = sorted((float(low), float(high)))
    if unit is None and stack.indices is None:
        raise UserError(f"regions: '{part.strip()}' counts slices, but the volume is oblique; give heights in mm")
    where = stack.heights_mm if unit else stack.indices
    covered = (where >= low) & (where <= high if unit is None else where < high)
    if not covered.any():
        raise UserError(
            f"regions: '{part.strip()}' covers no slice; the volume goes from {where.min():g} to {where.max():g}"
            + (" mm" if unit else "")
        )
    return covered


def _from_labels(path, stack, volume):
    labels = read_labels(path)
    if volume is not None and not labels.same_grid(volume, (path, "its image")):
        raise UserError(
            f"{path}: lies on another grid than its image ({labels.array.shape} where the image has "
            f"{volume.array.shape}, or another affine); resample it to the image"
        )
    if stack.indices is None:
        raise UserError(f"{path}: a label volume needs an image along the patient's axes")
    values = np.moveaxis(labels.array, stack.axis, 0)
    values = values[stack.indices].reshape(len(stack.indices), -1)
    if values.max() >= len(CLASSES) or values.min() < 0:
        raise UserError(f"{path}: labels must be 0 to {len(CLASSES) - 1} ({', '.join(CLASSES)})")
    counts = np.stack([(values == label).sum(axis=1) for label in range(1, len(CLASSES))])
    return np.where(counts.any(axis=0), 1 + counts.argmax(axis=0), 0)
