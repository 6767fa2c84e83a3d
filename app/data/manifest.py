"""A manifest of pairs: which images, labels, points and transforms belong together."""

import dataclasses
import re
from pathlib import Path

from app.data.tables import numbered_rows
from app.errors import UserError

MOST_LINES = 20  # problems that are printed
FILES = ("moving", "fixed", "moving_labels", "fixed_labels", "moving_points", "fixed_points")
LISTS = ("transforms", "inverse")
SUFFIXES = re.compile(r"(\.nii|\.mgz|\.mgh|\.mha|\.mhd|\.nrrd|\.nhdr|\.npz|\.hdr)?(\.gz)?$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class PairFiles:
    """One line of a manifest.

    Args:
        name: Of the pair; a folder can have it.
        moving, fixed: Images.
        moving_labels, fixed_labels: Label maps, or None.
        moving_points, fixed_points: Points of the same anatomical places in the same order, or None.
        transforms: Tuple of files, in the order in which they move an image.
        inverse: Likewise, those that lead back.
        moving_subject, fixed_subject: Who they are of, for statistics; the images' names by default.
        seconds: That the registration took, where the manifest says so.
    """

    name: str
    moving: Path
    fixed: Path
    moving_labels: Path | None = None
    fixed_labels: Path | None = None
    moving_points: Path | None = None
    fixed_points: Path | None = None
    transforms: tuple = ()
    inverse: tuple = ()
    moving_subject: str = ""
    fixed_subject: str = ""
    seconds: float | None = None

    def plain(self):
        """As JSON holds it, for a job; `of_plain` of it is the pair again."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def of_plain(cls, values):
        """A pair from what `plain` gave."""
        paths = {name: Path(values[name]) if values[name] else None for name in FILES}
        return cls(**values | paths | {name: tuple(map(Path, values[name])) for name in LISTS})


def read_manifest(path, needed=()):
    """Read a manifest of pairs.

    Args:
        path: CSV with the columns `moving` and `fixed`, and perhaps `pair`, `moving_labels`, `fixed_labels`,
            `moving_points`, `fixed_points`, `transforms`, `inverse` (several files joined by ";"), `moving_subject`,
            `fixed_subject`, `seconds`. Paths are relative to it.
        needed: Further columns that must be filled in.

    Returns:
        List of `PairFiles`, their names all different.

    Raises:
        UserError: If it cannot be read, holds no pair, a file in it is not there, or a name is given twice.
    """
    path = Path(path)
    rows = numbered_rows(path, ("moving", "fixed", *needed))
    if not rows:
        raise UserError(f"{path}: no pairs in it; add a line 'moving,fixed' per pair")
    problems, pairs, names = [], [], {}
    for number, row in rows:
        pair = _pair(path, row)
        where = f"{path}: line {number}"
        problems += [f"{where}: {file}: no such file; correct the path" for file in _missing(pair)]
        if pair.seconds is not None and pair.seconds != pair.seconds:
            problems.append(f"{where}: seconds must be a number; correct it or leave it empty")
        if pair.name in names:
            problems.append(
                f"{where}: the pair {pair.name} stands in line {names[pair.name]} too; name it in a column 'pair'"
            )
        names[pair.name] = number
        pairs.append(pair)
    if len(problems) > MOST_LINES:
        problems = [*problems[:MOST_LINES], f"{path}: and {len(problems) - MOST_LINES} more; correct these first"]
    if problems:
        raise UserError(problems)
    return pairs


def stem(path):
    """Name of an image's file without what its format adds."""
    return SUFFIXES.sub("", Path(path).name)


def _pair(path, row):
    files = {name: path.parent / row[name] if row.get(name) else None for name in FILES}
    lists = {
        name: tuple(path.parent / part.strip() for part in (row.get(name) or "").split(";") if part.strip())
        for name in LISTS
    }
    subjects = {f"{side}_subject": row.get(f"{side}_subject") or stem(files[side]) for side in ("moving", "fixed")}
    name = row.get("pair") or f"{stem(files['moving'])}_to_{stem(files['fixed'])}"
    seconds = None
    if row.get("seconds"):
        try:
            seconds = float(row["seconds"])
        except ValueError:
            seconds = float("nan")
    return PairFiles(re.sub(r"[^\w.+-]", "-", name).lstrip("."), **files, **lists, **subjects, seconds=seconds)


def _missing(pair):
    from app.data.dicom import named_part

    named = [getattr(pair, name) for name in FILES if getattr(pair, name) is not None]
    return [file for file in (*named, *pair.transforms, *pair.inverse) if not named_part(file)[0].exists()]


def _plain(value):
    if isinstance(value, Path):
        return str(value)
    return [str(each) for each in value] if isinstance(value, tuple) else value
