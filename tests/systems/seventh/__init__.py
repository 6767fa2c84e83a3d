"""A seventh system, as somebody would add it: brightness by a network, on the cohorts of masks."""

from app.systems.about import About

ABOUT = About(
    line="find what is bright",
    system="tests.systems.seventh.system:Brightness",
    config="tests.systems.seventh.system:BrightnessConfig",
    contract="tests.systems.seventh.system:BrightnessContract",
    steps="tests.systems.seventh.network:BrightnessSteps",
    predictor="tests.systems.seventh.network:BrightnessPredictor",
    trainings={"train": "train and report"},
    actions={"evaluate": "evaluate", "predict": "predict", "export": "export"},
    options=("inputs", "to"),
)
