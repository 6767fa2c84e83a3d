"""Kidney transfer: segment, and bring a segmentation network to a new population."""

from app.systems.about import About

ABOUT = About(
    line="segment kidneys, and adapt to a new population",
    system="app.systems.kidney.system:KidneySegmentation",
    config="app.systems.kidney.config:KidneyConfig",
    contract="app.systems.kidney.contract:KidneyContract",
    steps="app.systems.kidney.network:KidneySteps",
    predictor="app.systems.kidney.network:KidneyPredictor",
    trainings={
        "train": "train (default) from nothing and report",
        "transfer": "transfer a trained network to another population",
    },
    actions={
        "evaluate": "evaluate the trained model on the config's test volumes",
        "predict": "predict the masks of files, folders or DICOM series",
        "export": "export a SavedModel",
    },
    options=("inputs", "to"),
)
