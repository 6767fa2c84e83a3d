"""Measure a trained network on test subjects."""

from app.config import config_text
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
        UserError: If anything about config, cohort or model is wrong, or a guarantee is broken.
    """
    question = run.system.question(run, config)
    if dry_run:
        print(config_text(kept or config))
        return print(f"{question.line}\nwould be measured into {to}\ndry run: nothing was written")
    folder = RunFolder(to)
    folder.open(kept or config)
    log(question.line)
    import_keras()
    write_results(kept or config, folder, run.predictor(config, precision).evaluate(question))
