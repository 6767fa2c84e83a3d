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
    simulated = getattr(config.data, "phantom", None) is not None
    if dry_run and simulated:  # the images would be simulated again
        return _describe(kept or config, f"the test subjects of {run.folder.path}", to)
    question = run.system.question(run, config)
    if dry_run:
        return _describe(kept or config, question.line, to)
    import_keras()
    predictor = run.predictor(config, precision)  # before anything is written: a file may be damaged
    folder.open(kept or config)
    log(question.line)
    write_results(kept or config, folder, predictor.evaluate(question))


def _describe(config, subjects, to):
    print(config_text(config))
    print(f"{subjects}\nwould be measured into {to}\ndry run: nothing was written")
