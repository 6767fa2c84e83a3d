"""The tasks of the command line, imported when asked for: the systems', and those that work on any of them."""

import dataclasses

from app.modules import imported
from app.systems import SYSTEMS, find_about


@dataclasses.dataclass(frozen=True)
class Task:
    """One word after `python main.py`.

    Args:
        line: What it does, for `--help`.
        run: `module:function`, called with the config, `dry_run` and the options.
        config: `module:name` of its config's class; None of a task without.
        needs_file: Whether `--config` must be given: else `--set` is enough.
        actions: Dict from action to a line of help, the first the default; empty where there is but one.
        options: Names of `app.tasks.options.OPTIONS`.
    """

    line: str
    run: str
    config: str | None = None
    needs_file: bool = False
    actions: dict = dataclasses.field(default_factory=dict)
    options: tuple = ()


OTHERS = {
    "register": Task(
        "register two image files, with a trained model or without",
        "app.tasks.register:run",
        "app.tasks.register_config:RegisterConfig",
    ),
    "apply": Task(
        "move images, labels, points and surfaces by any warps",
        "app.tasks.apply:run",
        "app.tasks.apply_config:ApplyConfig",
    ),
    "evaluate": Task(
        "measure a trained model, or any warps on pairs",
        "app.tasks.evaluate:run",
        "app.tasks.evaluate_config:EvaluateConfig",
    ),
    "export": Task(
        "write a trained model as a SavedModel for inference servers",
        "app.tasks.export:run",
        "app.tasks.export_config:ExportConfig",
    ),
    "tune": Task(
        "search the hyper-parameters of another task",
        "app.tasks.tune:run",
        "app.tuning.config:TuneConfig",
        needs_file=True,
        actions={
            "run": "run (default) the search",
            "bounds": "print bounds of random search in this space",
            "status": "show the status",
            "best": "print the best config so far",
            "chief": "run as chief of a search on several machines that share the output folder",
            "worker": "run as its worker",
        },
        options=("workers", "address", "name"),
    ),
    "convert": Task(
        "bring an official VoxelMorph or HyperMorph .h5 file here",
        "app.tasks.convert:run",
        "app.tasks.convert_config:ConvertConfig",
    ),
    "doctor": Task("print versions, devices, memory and where the data folder is", "app.tasks.doctor:run"),
}
TASKS = (*SYSTEMS, *OTHERS)


def find_task(name):
    """A task; nothing heavy is imported.

    Args:
        name: One of `TASKS`.

    Returns:
        `Task`.
    """
    if name in OTHERS:
        return OTHERS[name]
    system = find_about(name)
    actions = {**system.trainings, **system.actions}
    return Task(
        system.line,
        "app.tasks.system_task:run",
        system.config,
        needs_file=True,
        actions=actions if len(actions) > 1 else {},
        options=system.options,
    )


def config_class(name):
    """Class of a task's config; Keras is not imported.

    Args:
        name: Name of a task that has one.

    Returns:
        Subclass of `TaskConfig`.
    """
    return imported(find_task(name).config)
