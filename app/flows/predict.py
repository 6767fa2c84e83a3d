"""Apply a trained network to a user's volumes."""

from pathlib import Path

from app.data.inputs import find_volumes
from app.errors import UserError, list_problems
from app.files import write_csv
from app.quiet import import_keras


def predict(run, config, inputs, to, dry_run=False, **options):
    """Apply a network to volumes; those that cannot be read are listed at the end, all others are processed.

    Args:
        run: `OpenRun`.
        config: As for `OpenRun.predictor`; its `data.nan` is the rule for voxels that are NaN.
        inputs: Files; folders of files or of DICOM series.
        to: Folder for the results.
        dry_run: List only.
        **options: As for `System.check_inputs` and `Predictor.saver`.

    Raises:
        UserError: If nothing is there to predict, results would lie among the images, or some volumes could not be
            predicted.
    """
    volumes, problems = find_volumes(inputs, config.data.nan)
    _check_apart(inputs, to)
    run.system.check_inputs(volumes, **options)
    import_keras()
    save = run.predictor(config).saver(to, **options)
    if dry_run:
        list_problems(problems)
        print("\n".join(f"{volume.name}: {volume.path}" for volume in volumes))
        return print(f"{len(volumes)} volumes would be {run.system.done} into {to}\ndry run: nothing was written")
    rows, count = [], 0
    for volume in volumes:
        try:
            rows += save(volume)
            count += 1
        except UserError as error:
            problems += error.lines_naming(volume.path)
    if rows:
        write_csv(to / run.system.predictions, rows)
    print(f"{count} volumes {run.system.done}: {to}")
    list_problems(problems)


def _check_apart(inputs, to):
    for given in map(Path, inputs):
        images = (given if given.is_dir() else given.parent).resolve()
        if to.resolve() == images or (given.is_dir() and images in to.resolve().parents):
            raise UserError(
                f"--to {to}: lies among the images of {given}, whose masks could be overwritten, or taken for images "
                "the next time; name a folder elsewhere"
            )
