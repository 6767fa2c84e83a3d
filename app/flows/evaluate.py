"""Measure a trained network on test subjects."""

from app.config import config_text
from app.errors import UserError
from app.flows.results import write_results
from app.quiet import import_keras
from app.training.run_folder import RunFolder, log


def evaluate(run, config, to, dry_run=False, precision=None, kept=None):
    """Measure and report, into a folder of its own.

    Args:
        run: `OpenRun`.
        config: What `System.question` takes.
        to: Folder for the results.
        dry_run: Check and print only.
        precision: As for `OpenRun.predictor`.
        kept: Config that is kept with the results; `config` by default.

    Raises:
        UserError: If anything about config, cohort or model is wrong, the folder is a training's, or a guarantee is
            broken.
    """
    folder = RunFolder(to)
    if folder.model.is_file() or folder.checkpoint.is_file():
        raise UserError(f"{to}: holds a training, whose files would be overwritten; name another folder")
    folder.check(kept or config, ("output", "data.cache_gib", *run.system.free_keys))
    if dry_run and getattr(config.data, "phantom", None) is not None:  # whose images would be simulated again
        print(config_text(kept or config))
        print(f"the test subjects of {run.folder.path} would be measured into {to}")
        return print("dry run: nothing was written")
    question = run.system.question(run, config)
    if dry_run:
        print(config_text(kept or config))
        return print(f"{question.line}\nwould be measured into {to}\ndry run: nothing was written")
    import_keras()
    predictor = run.predictor(config, precision)  # before anything is written: a file may be damaged
    folder.open(kept or config)
    log(question.line)
    write_results(kept or config, folder, predictor.evaluate(question))
