"""A cohort: its subjects, and which of them train, validate and test."""

import dataclasses
import glob
import os
import re
import unicodedata
from pathlib import Path

import numpy as np

from app.data.tables import csv_rows
from app.errors import UserError
from app.files import composed, is_litter

PAIR = 2  # subjects that a part needs at the least where pairs are registered


@dataclasses.dataclass(frozen=True)
class Subject:
    """One person: a name, an image file and, perhaps, a label file."""

    name: str
    image: Path
    labels: Path | None = None


def read_cohort(config):
    """List the subjects of a cohort.

    Args:
        config: `CohortConfig` with `cohort` (a CSV of `subject, image[, labels]`, paths
            relative to it) or `images` and perhaps `labels` (glob patterns; files belong
            together where the wildcards match the same).

    Returns:
        List of `Subject`, in order.

    Raises:
        UserError: If neither is given, a file is missing, the CSV lacks a column, a
            subject appears twice or the cohort is empty.
    """
    if config.cohort is not None:
        subjects = _from_csv(Path(config.cohort))
    elif config.images is not None:
        subjects = _from_globs(config.images, config.labels)
    else:
        raise UserError("data: give 'cohort: FILE.csv', 'images: \"GLOB\"' or 'phantom: {...}'")
    names = [subject.name for subject in subjects]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{config.cohort or config.images}: subjects appear twice: {', '.join(twice[:5])}")
    return subjects


def draw_pairs(subjects, count, seed):
    """Fixed evaluation pairs: different ordered pairs of different subjects.

    Args:
        subjects: List of `Subject`, two or more.
        count: How many pairs at most.
        seed: Integer.

    Returns:
        List of `(moving, fixed)` subjects; every pair there is, where there are fewer.
    """
    everyone = range(len(subjects))
    pairs = [(m, f) for m in everyone for f in everyone if m != f]
    chosen = np.random.default_rng(seed).permutation(len(pairs))[:count]
    return [(subjects[pairs[index][0]], subjects[pairs[index][1]]) for index in chosen]


def cohort_label_names(config):
    """Names of a cohort's labels: of `label_names`, else of a `labels.csv` beside its manifest, else none.

    Args:
        config: `CohortConfig`.

    Returns:
        Dict from label value to name.

    Raises:
        UserError: As `read_label_names`.
    """
    beside = config.cohort.with_name("labels.csv") if config.cohort else None
    return read_label_names(config.label_names or (beside if beside and beside.is_file() else None))


def read_label_names(path):
    """Names of labels.

    Args:
        path: CSV file with columns `index` and `name`, or None.

    Returns:
        Dict from label value to name; empty without a file.

    Raises:
        UserError: If the file is missing or has other columns.
    """
    if path is None:
        return {}
    rows = csv_rows(Path(path), ("index", "name"))
    try:
        return {int(row["index"]): row["name"] for row in rows}
    except ValueError as error:
        raise UserError(f"{path}: column 'index' must hold integers ({error}); correct the file") from None


def _from_csv(path):
    rows = csv_rows(path, ("subject", "image"))
    if not rows:
        raise UserError(f"{path}: the cohort is empty; add a line 'subject,image,labels' a subject")
    return [
        Subject(
            row["subject"],
            path.parent / row["image"],
            path.parent / row["labels"] if row.get("labels") else None,
        )
        for row in rows
    ]


def _from_globs(images, labels):
    image_files = _matches(images)
    if not image_files:
        raise UserError(f"data.images: no file matches {images}; the cohort is empty, correct the pattern")
    label_files = _matches(labels) if labels else {}
    alone = sorted(set(image_files) ^ set(label_files)) if labels else []
    if alone:
        raise UserError(
            f"data.labels: for '{alone[0]}'{f' and {len(alone) - 1} more' if len(alone) > 1 else ''} only one of "
            f"image ({images}) and labels ({labels}) is there; what the wildcards match must be the same in "
            "both, or give a CSV that says which belong together"
        )
    return [Subject(name, path, label_files.get(name)) for name, path in image_files.items()]


def _matches(pattern):
    """Dict from what the wildcards of a pattern match, joined by '-', to the file."""
    files = {}
    pattern = _literal_brackets(pattern)
    spelt = {pattern, *(unicodedata.normalize(form, pattern) for form in ("NFC", "NFD"))}
    for path in sorted(
        {path for pattern in spelt for path in glob.glob(pattern, recursive=True) if not is_litter(path)}
    ):
        match = re.fullmatch(_with_groups(composed(pattern)), composed(path))
        parts = [part.strip("/").replace("/", "-") for part in match.groups()] if match else []
        name = "-".join(filter(None, parts)) or Path(path).name
        if name in files:
            raise UserError(f"data: {files[name]} and {path} are both '{name}' under {pattern}; give a CSV instead")
        files[name] = Path(path)
    return files


def _literal_brackets(pattern):
    """A pattern in which `[` of a file or folder that has this very name is a letter."""
    parts = Path(pattern).parts
    for index, part in enumerate(parts):
        if "[" in part and os.path.exists(os.path.join(*parts[: index + 1])):
            parts = (*parts[:index], glob.escape(part), *parts[index + 1 :])
    return os.path.join(*parts)


def _with_groups(pattern):
    """A glob pattern as a regular expression, a group for each wildcard."""
    translated = {"[[]": r"\[", "**/": "(.*?)", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]*\])", pattern)
    return "".join(translated.get(part) or (f"({part})" if part.startswith("[") else re.escape(part)) for part in parts)
