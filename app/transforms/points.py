"""Points in files: tables, and markups of 3D Slicer; in memory RAS millimetres."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np

from app.data.slicer import FCSV_COLUMNS, SIGNS
from app.data.tables import numbered_rows
from app.errors import UserError, list_problems
from app.files import user_text, write_text

MOST_BYTES = 64 * 2**20
AXES = ("x", "y", "z")


@dataclasses.dataclass(frozen=True)
class Places:
    """Points of a file, and how they are written back.

    Args:
        points: `(n, 3)`, RAS millimetres.
        names: What each is called in messages.
        written: Function from other `(n, 3)` points to the text of such a file, everything else in it kept.
    """

    points: np.ndarray
    names: tuple
    written: object

    def write(self, path, points):
        """Write other points in their place.

        Args:
            path: File.
            points: `(n, 3)`, RAS millimetres.
        """
        write_text(path, self.written(points))


def read_points(path):
    """Read points.

    Args:
        path: `.csv` or `.tsv` with columns x, y, z in RAS millimetres, or markups of 3D Slicer (`.mrk.json`, `.fcsv`),
            in the system of coordinates that the file names.

    Returns:
        `Places`.

    Raises:
        UserError: If the file is missing or of another kind, holds no point, or one is not of finite numbers.
    """
    path = Path(path)
    suffix = path.name.lower()
    readers = {".csv": _table, ".tsv": _table, ".json": _markups, ".fcsv": _fcsv}
    reader = next((reader for end, reader in readers.items() if suffix.endswith(end)), None)
    if reader is None:
        raise UserError(f"{path}: unknown format of points; give .csv, .tsv, .mrk.json or .fcsv")
    places = reader(path)
    if not len(places.points):
        raise UserError(f"{path}: no points in it; give a file of points")
    wrong = ~np.all(np.isfinite(places.points), axis=1)
    list_problems([f"{places.names[index]}: x, y, z must be finite numbers" for index in np.flatnonzero(wrong)])
    return places


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")


def _table(path):
    delimiter = "\t" if path.name.lower().endswith(".tsv") else ","
    rows = numbered_rows(path, AXES, delimiter)
    points = np.array([[_number(row[axis]) for axis in AXES] for _, row in rows]).reshape(-1, 3)

    def written(moved):
        file = io.StringIO()
        writer = csv.DictWriter(file, list(rows[0][1]), delimiter=delimiter, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for (_, row), point in zip(rows, moved, strict=True):
            writer.writerow(row | {axis: f"{value:.6f}" for axis, value in zip(AXES, point, strict=True)})
        return file.getvalue()

    return Places(points, tuple(f"{path}, line {number}" for number, _ in rows), written)


def _markups(path):
    text = user_text(path, MOST_BYTES, "give a file of points")
    try:
        content = json.loads(text)
        lists = content["markups"]
        points = [(part, point) for part in lists for point in part["controlPoints"] if point.get("position")]
        signs = [_signs(path, part.get("coordinateSystem", "LPS")) for part, _ in points]
        known = np.array([[_number(value) for value in point["position"]] for _, point in points]).reshape(-1, 3)
        wrong = [part for part, _ in points if part.get("coordinateUnits", "mm") not in ("mm", ["mm"] * 3)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path}: no Markups file of 3D Slicer, or damaged; save the points again") from None
    if wrong:
        raise UserError(f"{path}: coordinates are not in mm; save them in mm")
    signs = np.array(signs).reshape(-1, 3)

    def written(moved):
        for (_, point), place in zip(points, moved * signs, strict=True):
            point["position"] = place.tolist()
        return json.dumps(content, indent=2) + "\n"

    names = tuple(f"{path}, point {point.get('label') or number}" for number, (_, point) in enumerate(points, 1))
    return Places(known * signs, names, written)


def _fcsv(path):
    lines = user_text(path, MOST_BYTES, "give a file of points").splitlines()
    columns, system, numbers = FCSV_COLUMNS.split(","), None, []
    for number, line in enumerate(lines):
        key, _, value = (part.strip() for part in line.lstrip("# ").partition("="))
        if line.startswith("#"):
            columns = value.split(",") if key == "columns" else columns
            system = value if key == "CoordinateSystem" else system
        elif line.strip():
            numbers.append(number)
    if system is None:
        raise UserError(f"{path}: does not say '# CoordinateSystem = LPS' or RAS; add that line at its top")
    if not set(AXES) <= set(columns):
        raise UserError(f"{path}: its columns have no x, y, z; save the points again")
    signs, at = np.array(_signs(path, system)), [columns.index(axis) for axis in AXES]
    rows = [next(csv.reader([lines[number]])) for number in numbers]
    points = np.array([[_number(row[place]) if place < len(row) else np.nan for place in at] for row in rows])

    def written(moved):
        result = list(lines)
        for number, row, point in zip(numbers, rows, moved * signs, strict=True):
            for place, value in zip(at, point, strict=True):
                row[place] = f"{value:.6f}"
            file = io.StringIO()
            csv.writer(file, lineterminator="").writerow(row)
            result[number] = file.getvalue()
        return "\n".join(result) + "\n"

    return Places(points.reshape(-1, 3) * signs, tuple(f"{path}, line {number + 1}" for number in numbers), written)


def _signs(path, system):
    signs = SIGNS.get(str(system).upper())
    if signs is None:
        raise UserError(f"{path}: coordinates in the system {str(system)[:20]}; save the points in LPS or RAS")
    return signs
