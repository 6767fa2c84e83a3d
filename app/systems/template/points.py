"""A user's points that a mask must hold, or must not."""

import dataclasses

import numpy as np

from app.data.sound import check_three_axes
from app.data.tables import numbered_rows
from app.errors import UserError, list_problems
from app.systems.template.slicer_points import fcsv_rows, markups_rows


@dataclasses.dataclass(frozen=True)
class Points:
    """Points in space.

    Args:
        places: `(n, 3)`, RAS millimetres.
        inside: `(n,)`, bool.
        structures: `(n,)`: index of the structure that it must be inside or outside of; -1, outside only, for all.
        names: What each is called in messages.
    """

    places: np.ndarray
    inside: np.ndarray
    structures: np.ndarray
    names: tuple


def read_points(path, labels):
    """Read a user's points.

    Args:
        path: CSV of `x, y, z, inside[, label]`: RAS millimetres, 1 or 0; or points of 3D Slicer (`.mrk.json`,
            `.fcsv`), in the system of coordinates that the file names: see `app.systems.template.slicer_points`.
        labels: Labels of the structures; the column may be left out if there is one.

    Returns:
        `Points`.

    Raises:
        UserError: If the file is missing or empty, or a line is wrong.
    """
    rows = _rows(path)
    if not rows:
        raise UserError(f"{path}: no points; add a line 'x,y,z,inside' a point")
    problems, places, inside, structures, names = [], [], [], [], []
    for name, row in rows:
        names.append(name)
        try:
            place = [float(row[axis]) for axis in ("x", "y", "z")]
        except (TypeError, ValueError):
            place = [np.nan] * 3
        if not np.all(np.isfinite(place)):
            problems.append(f"{name}: x, y, z must be numbers, in RAS millimetres")
        if row["inside"] not in ("0", "1"):
            problems.append(f"{name}: inside must be 1 or 0; it is '{row['inside']}'")
        label = row.get("label") or (str(labels[0]) if len(labels) == 1 else "")
        if not label and row["inside"] == "0":
            structures.append(-1)
        elif not label:
            problems.append(f"{name}: label is missing; the template has {_named(labels)}")
        elif label not in map(str, labels):
            problems.append(f"{name}: label '{label}' is not the template's; it has {_named(labels)}")
        else:
            structures.append([str(label) for label in labels].index(label))
        places.append(place)
        inside.append(row["inside"] == "1")
    list_problems(problems)
    return Points(np.array(places), np.array(inside), np.array(structures), tuple(names))


def _rows(path):
    """What each point is called in messages, and its columns as strings."""
    suffix = str(path).lower()
    if suffix.endswith(".fcsv"):
        return fcsv_rows(path)
    if suffix.endswith(".json"):
        return markups_rows(path)
    return [(f"{path}, line {number}", row) for number, row in numbered_rows(path, ("x", "y", "z", "inside"))]


def check_points(points, volume, near_mm):
    """See that points lie in a volume and do not contradict each other.

    Args:
        points: `Points`.
        volume: `Volume`.
        near_mm: Within this distance two points cannot be distinguished.

    Raises:
        UserError: Listing every point that is wrong; if the volume is not 3D.
    """
    check_three_axes(volume)
    voxels = np.linalg.solve(volume.affine[:3, :3], (points.places - volume.affine[:3, 3]).T).T
    outside = np.any((voxels < -0.5) | (voxels > np.array(volume.array.shape[:3]) - 0.5), axis=1)
    problems = [
        f"{points.names[index]}: the point lies outside of the volume; give RAS millimetres of this volume's space"
        for index in np.flatnonzero(outside)
    ]
    for index in range(len(points.places)):
        for other in range(index):
            distance = np.linalg.norm(points.places[index] - points.places[other])
            if distance < near_mm and _contradict(points, index, other):
                problems.append(
                    f"{points.names[index]}: contradicts {points.names[other]}, {distance:.1f} mm apart, and what "
                    f"is nearer than {near_mm:g} mm cannot be distinguished; remove one of them"
                )
    list_problems(problems)


def _contradict(points, first, other):
    same = points.structures[first] == points.structures[other] or -1 in points.structures[[first, other]]
    if points.inside[first] and points.inside[other]:
        return not same  # one place cannot be in two structures
    return points.inside[first] != points.inside[other] and same


def _named(labels):
    return ", ".join(map(str, labels))
