"""Field of view: which regions of the body a volume shows, and where."""

from app.systems.about import About

ABOUT = About(
    line="find which regions of the body MR volumes show, and where",
    system="app.systems.fov.system:FieldOfView",
    config="app.systems.fov.config:FovConfig",
    contract="app.systems.fov.contract:FovContract",
    steps="app.systems.fov.network:FovSteps",
    predictor="app.systems.fov.network:FovPredictor",
    trainings={"train": "train (default) and report"},
    actions={
        "evaluate": "evaluate the trained model on the config's test volumes",
        "predict": "predict the regions of files, folders or DICOM series",
        "export": "export a SavedModel",
    },
    options=("inputs", "to"),
)
