"""The tasks of the command line: module, config and one line of help each, imported when asked for."""

import importlib

TASKS = {
    "hypermorph": (
        "app.tasks.hypermorph",
        "app.tasks.hypermorph_config:HyperMorphConfig",
        "train one registration network for all hyper-parameter values, and report on it",
    ),
    "register": (
        "app.tasks.register",
        "app.tasks.register_config:RegisterConfig",
        "register two image files with a trained model",
    ),
    "evaluate": (
        "app.tasks.evaluate",
        "app.tasks.evaluate_config:EvaluateConfig",
        "measure a trained model on the pairs of a cohort",
    ),
    "export": (
        "app.tasks.export",
        "app.tasks.export_config:ExportConfig",
        "write a trained model as a SavedModel for inference servers",
    ),
    "tune": ("app.tasks.tune", "app.tasks.tune_config:TuneConfig", "search the hyper-parameters of another task"),
    "fov": (
        "app.tasks.fov",
        "app.tasks.fov_config:FovConfig",
        "find which regions of the body MR volumes show, and where",
    ),
    "kidney": (
        "app.tasks.kidney",
        "app.tasks.kidney_config:KidneyConfig",
        "segment kidneys, and adapt to a new population",
    ),
    "template": ("app.tasks.template", "app.tasks.template_config:TemplateConfig", "segment by deforming a template"),
    "convert": (
        "app.tasks.convert",
        "app.tasks.convert_config:ConvertConfig",
        "bring an official VoxelMorph or HyperMorph .h5 file here",
    ),
    "doctor": ("app.tasks.doctor", None, "print versions, devices, memory and where the data folder is"),
}

# Without --config: what is needed beside the defaults is given by --set.
WITHOUT_FILE = ("register", "evaluate", "export", "convert")


def config_class(task):
    """Class of a task's config; Keras is not imported.

    Args:
        task: Name of a task that has one.

    Returns:
        Subclass of `TaskConfig`.
    """
    module, _, name = TASKS[task][1].partition(":")
    return getattr(importlib.import_module(module), name)
