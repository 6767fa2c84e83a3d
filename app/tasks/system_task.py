"""The task of a system: train it, or apply what was trained."""

from pathlib import Path

from app.errors import UserError
from app.flows.evaluate import evaluate
from app.flows.export import export
from app.flows.predict import predict
from app.flows.train import train
from app.systems import find_system
from app.systems.opened import open_run
from app.training.run_folder import RunFolder

FOLDERS = {"evaluate": "evaluation", "predict": "predictions", "export": "export", "build": "template"}


def run(config, dry_run=False, action="train", inputs=(), to=None, **options):
    """Run an action of a system.

    Args:
        config: Of the system; its `task` names it.
        dry_run: Check and print only.
        action: One of the system's actions.
        inputs: Paths to predict.
        to: Folder for the results of everything but a training; by default within the output.
        **options: Further options of "predict".

    Raises:
        UserError: If anything about config, data or folder is wrong.
    """
    system = find_system(config.task)
    given = {key: value for key, value in options.items() if value is not None}
    if given and action != "predict":
        raise UserError(f"--{next(iter(given))}: for '{system.name} predict' only, not for '{action}'")
    if action == "predict" and not inputs:
        raise UserError(f"{system.name} predict: --input is missing; give files, folders or DICOM series")
    if action in system.about.trainings:
        return train(system, config, action, dry_run)
    folder = RunFolder(config.output)
    to = Path(to) if to else folder.path / FOLDERS[action]
    if action == "build":
        return system.build(config, to, dry_run)
    trained = open_run(folder.path, system)
    if action == "predict":
        return predict(trained, config, inputs, to, dry_run, **given)
    if action == "export":
        return export(trained, config, to, dry_run)
    folder.check(config, system.free_keys)
    evaluate(trained, config, to, dry_run)
