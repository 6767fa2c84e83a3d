"""What every prediction over a user's volumes has in common: one that fails does not stop the others."""

from pathlib import Path

from app.data.inputs import find_volumes
from app.errors import UserError, list_problems
from app.files import write_csv


def predict_volumes(task, inputs, load, to, table, done, dry_run=False, alone=None, nan="refuse"):
    """Apply a trained model to volumes; what cannot be read is listed at the end, and the rest is done all the same.

    Args:
        task: Its name.
        inputs: Files; folders of files or of DICOM series.
        load: Function `() -> predict`; `predict(input)` takes an `Input`, writes its results and returns rows.
        to: Folder for the results.
        table: Name of the CSV of all rows.
        done: What is done to a volume: "decided", "segmented".
        dry_run: List only.
        alone: What is said if there are several volumes where only one can be meant; None if there may be.
        nan: As for `read_volume`.

    Raises:
        UserError: If nothing was trained, nothing is found, results would lie among the images, or some volumes could
            not be read.
    """
    found, problems = find_volumes(inputs, task, nan)
    for given in map(Path, inputs):
        images = (given if given.is_dir() else given.parent).resolve()
        if to.resolve() == images or (given.is_dir() and images in to.resolve().parents):
            raise UserError(
                f"--to {to}: lies among the images of {given}, whose masks could be overwritten, or taken for images "
                "the next time; name a folder elsewhere"
            )
    if alone and len(found) > 1:
        raise UserError(alone)
    predict = load()
    if dry_run:
        list_problems(problems)
        print("\n".join(f"{one.name}: {one.path}" for one in found))
        return print(f"{len(found)} volumes would be {done} into {to}; nothing was written")
    rows, count = [], 0
    for one in found:
        try:
            rows += predict(one)
            count += 1
        except UserError as error:
            problems += error.told_of(one.path)
    if rows:
        write_csv(to / table, rows)
    print(f"{count} volumes {done}: {to}")
    list_problems(problems)
