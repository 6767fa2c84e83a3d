"""Users' tables: CSV files with a header."""

import csv
import io

from app.errors import UserError
from app.files import user_text

LARGEST_TABLE = 64 * 2**20  # bytes of a CSV


def csv_rows(path, needed):
    """Rows of a user's table.

    Args:
        path: CSV file whose first line names the columns.
        needed: Columns that must be there and filled in.

    Returns:
        List of dicts.

    Raises:
        UserError: If the file cannot be read, or a column or a value is missing.
    """
    return [row for _, row in numbered_rows(path, needed)]


def numbered_rows(path, needed, delimiter=","):
    """As `csv_rows`, each row with the number of its line in the file, for messages: lines may be empty.

    Args:
        path: CSV file whose first line names the columns.
        needed: Columns that must be there and filled in.
        delimiter: Between two values.

    Returns:
        List of line numbers and dicts.

    Raises:
        UserError: If the file cannot be read, or a column or a value is missing.
    """
    try:
        text = user_text(path, LARGEST_TABLE, "give an existing CSV file")
        reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, delimiter=delimiter)
        columns = reader.fieldnames or []
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}: cannot be read ({error}); give an existing CSV file") from None
    missing = [column for column in needed if column not in columns]
    if missing:
        raise UserError(f"{path}: column {', '.join(missing)} is missing; the first line must name the columns")
    for number, row in rows:
        empty = [column for column in needed if not row[column]]
        if empty:
            raise UserError(f"{path}: line {number}: {', '.join(empty)} is empty; fill it in or remove the line")
    return rows
