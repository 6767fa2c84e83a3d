"""Who was dealt to training, validation and test: kept with the run."""

from app.data.cohort import csv_rows
from app.errors import UserError

SPLIT = "split.csv"


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
