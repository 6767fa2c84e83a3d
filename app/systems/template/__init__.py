"""Template deformation: segment by deforming a template with a predicted global and local transform."""

from app.systems.about import About

ABOUT = About(
    line="segment by deforming a template",
    system="app.systems.template.system:TemplateDeformation",
    config="app.systems.template.config:TemplateConfig",
    contract="app.systems.template.contract:TemplateContract",
    steps="app.systems.template.network:TemplateSteps",
    predictor="app.systems.template.segment:Segmenter",
    trainings={"train": "train (default) and report"},
    actions={
        "build": "build a template",
        "evaluate": "evaluate the trained model on the config's test volumes",
        "predict": "predict the masks of files, folders or DICOM series",
        "export": "export a SavedModel",
    },
    options=("inputs", "to", "points"),
)
