"""Volumes of a cohort read together: all that is wrong is said at once."""

from concurrent.futures import ThreadPoolExecutor

from app.errors import UserError, list_problems
from app.progress import progress


def read_all(items, read, paths):
    """Read items, two at a time.

    Args:
        items: List.
        read: Function of an item.
        paths: Function from an item to its files, for the messages.

    Returns:
        List of what `read` returned.

    Raises:
        UserError: Listing every problem of every item.
    """

    def attempt(item):
        try:
            return read(item)
        except UserError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        results = list(progress(pool.map(attempt, items), "reading volumes", total=len(items)))
    failed = [(item, result) for item, result in zip(items, results, strict=True) if isinstance(result, UserError)]
    list_problems([line for item, error in failed for line in error.lines_naming(*paths(item))])
    return results
