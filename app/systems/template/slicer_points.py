"""Points that were set in 3D Slicer: `.mrk.json`, and the older `.fcsv`.

The file names its system of coordinates, LPS or RAS. A point counts as inside; the words "outside" and a label's number
may stand in its description, in this order or the other, "inside" too.
"""

import csv
import json

from app.data.slicer import FCSV_COLUMNS, SIGNS
from app.errors import UserError
from app.notes import note
from app.strangers import regular_file

MOST_BYTES = 2**20


def markups_rows(path):
    """Points of a `.mrk.json`.

    Args:
        path: File, written by 3D Slicer 4.11 or later.

    Returns:
        List of what each point is called in messages, and a dict of strings: `x`, `y`, `z` in RAS millimetres,
        `inside`, and `label` if the description has one.

    Raises:
        UserError: If it is no such file, is not in millimetres, or a point's description is not understood.

    Reference:
        - https://github.com/Slicer/Slicer/tree/main/Modules/Loadable/Markups/Resources/Schema
    """
    try:
        content = json.loads(_text(path))
        lists = content["markups"]
        points = [(part, point) for part in lists for point in part["controlPoints"]]
        rows = []
        for row, point in points:
            name = f"{path}, point {point.get('label') or point.get('id') or len(rows) + 1}"
            if point.get("positionStatus", "defined") != "defined":
                note(f"{name}: has no place yet; left out")
                continue
            if row.get("coordinateUnits", "mm") not in ("mm", ["mm"] * 3):
                raise UserError(f"{path}: coordinates in {str(row['coordinateUnits'])[:20]}; save them in mm")
            rows.append((name, _row(name, point["position"], row.get("coordinateSystem", "LPS"), point)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path}: no Markups file of 3D Slicer, or damaged; save the points again") from None
    return rows


def fcsv_rows(path):
    """Points of an `.fcsv`.

    Args:
        path: File, written by 3D Slicer; its comments name the columns and the system of coordinates.

    Returns:
        As `markups_rows`.

    Raises:
        UserError: As `markups_rows`.
    """
    columns, system, rows = FCSV_COLUMNS, None, []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        key, _, value = (part.strip() for part in line.lstrip("# ").partition("="))
        if line.startswith("#"):
            columns = value if key == "columns" else columns
            system = value if key == "CoordinateSystem" else system
        elif line.strip():
            point = dict(zip(columns.split(","), next(csv.reader([line])), strict=False))
            name = f"{path}, line {number}"
            if system is None:
                raise UserError(f"{path}: does not say '# CoordinateSystem = LPS' or RAS; add that line at its top")
            position = [point.get(axis, "") for axis in ("x", "y", "z")]
            rows.append((name, _row(name, position, system, {"description": point.get("desc", "")})))
    return rows


def _text(path):
    if regular_file(path, "file of points") > MOST_BYTES:
        raise UserError(f"{path}: larger than 1 MB; give a file of points")
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give a file of points") from None


def _row(name, position, system, point):
    signs = SIGNS.get(str(system).upper())
    if signs is None:
        raise UserError(f"{name}: coordinates in the system {str(system)[:20]}; save the points in LPS or RAS")
    x, y, z = position
    words = str(point.get("description") or "").lower().split()
    sides = [word for word in words if word in ("inside", "outside")]
    labels = [word for word in words if word not in ("inside", "outside")]
    if len(sides) > 1 or len(labels) > 1 or any(not word.isdecimal() for word in labels):
        raise UserError(
            f"{name}: its description is not understood ({' '.join(words)[:40]}); write inside or outside, and the "
            "number of a label where the template has several"
        )
    try:
        place = [str(sign * float(item)) for sign, item in zip(signs, (x, y, z), strict=True)]
    except (TypeError, ValueError, OverflowError):
        place = ["", "", ""]  # said with the others of the file
    inside = "0" if sides == ["outside"] else "1"
    return dict(zip(("x", "y", "z"), place, strict=True)) | {"inside": inside, "label": labels[0] if labels else ""}
