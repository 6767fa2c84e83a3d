"""The tasks of the command line: module and one line of help each, imported when asked for."""

TASKS = {
    "hypermorph": (
        "app.tasks.hypermorph",
        "train one registration network for all hyper-parameter values, and report on it",
    ),
    "register": ("app.tasks.register", "register two image files with a trained model"),
    "evaluate": ("app.tasks.evaluate", "measure a trained model on the pairs of a cohort"),
    "export": ("app.tasks.export", "write a trained model as a SavedModel for inference servers"),
    "tune": ("app.tasks.tune", "search the hyper-parameters of another task"),
    "fov": ("app.tasks.fov", "find which regions of the body MR volumes show, and where"),
    "kidney": ("app.tasks.kidney", "segment kidneys, and adapt to a new population"),
    "template": ("app.tasks.template", "segment by deforming a template"),
    "convert": ("app.tasks.convert", "bring an official VoxelMorph or HyperMorph .h5 file here"),
    "doctor": ("app.tasks.doctor", "print versions, devices, memory and where the data folder is"),
}
