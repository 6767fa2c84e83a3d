"""Who was dealt to training, validation and test: kept with the run."""

from app.data.tables import csv_rows
from app.errors import UserError

SPLIT = "split.csv"


def read_split(folder):
    """Who was dealt where when a run's model was trained.

    Args:
        folder: Folder of the run, or of its model.

    Returns:
        Dict from "train", "validate", "test" to a list of subjects' names; empty where no run has left one.
    """
    path = folder / SPLIT
    parts = {}
    if path.is_file():
        for row in csv_rows(path, ("part", "subject")):
            parts.setdefault(row["part"], []).append(row["subject"])
    return parts


def check_split(folder, rows):
    """See that a cohort is still dealt as when the run began: else what was trained on would be tested.

    Args:
        folder: `RunFolder`; nothing is checked before it has a split.
        rows: List of dicts of strings, as they would be written now.

    Raises:
        UserError: If they differ.
    """
    path = folder.path / SPLIT
    if path.is_file() and csv_rows(path, tuple(rows[0])) != rows:
        raise UserError(
            f"{path}: the cohort has changed since this run began, and its subjects would be dealt otherwise; choose "
            "another folder with --set output=FOLDER, or restore the cohort"
        )
