"""Train a network, keep it with its contract, measure it on the test subjects and report."""

from app.files import write_csv
from app.flows.dry_run import describe
from app.flows.results import write_results
from app.quiet import import_keras
from app.training.run_folder import RunFolder, log
from app.training.split_file import SPLIT, check_split


def train(system, config, action=None, dry_run=False):
    """Train and report; a training that was interrupted is resumed, to the same weights.

    Args:
        system: `System`.
        config: Of the system.
        action: Which of its trainings.
        dry_run: Check and print only.

    Raises:
        UserError: If anything about config, data or folder is wrong, or the trained network breaks a guarantee.
    """
    folder = RunFolder(config.output)
    system.check(config, action or next(iter(system.trainings)))
    folder.check(config, system.free_keys)
    system.check_memory(config)
    if dry_run:
        return describe(system, config)
    parts = system.deal(config, config.output / "phantoms")
    rows = system.rows(parts)
    check_split(folder, rows)
    system.check_parts(config, parts)
    system.check_parts_memory(config, parts)
    cohort = system.read(config, parts)
    system.check_memory(config, cohort)
    folder.open(config)
    write_csv(folder.path / SPLIT, rows)
    log(f"{cohort.line}; output in {folder.path}")
    _fit_and_report(system, config, cohort, folder)


def _fit_and_report(system, config, cohort, folder):
    keras = import_keras()

    from app.training.checkpoint import save_model
    from app.training.fit import fit

    steps = system.part("steps")(config, cohort, folder)
    keras.utils.set_random_seed(config.seed)
    if steps.trains:
        model, history = fit(steps, config, folder)
    else:
        model, history = steps.build(config), []
    contract = steps.finish(model)
    save_model(model, folder.model)
    contract.write(folder.contract)
    log("evaluating on the test subjects")
    evaluation = steps.evaluate(system.part("predictor")(model, contract, config), history)
    write_results(config, folder, evaluation)
