"""Config of the task `evaluate`."""

from pathlib import Path
from typing import Literal

import pydantic

from app.cluster_config import ClusterConfig
from app.config import TaskConfig
from app.systems.registration.config import CohortConfig
from app.transforms.kinds import Kind

OF_PAIRS = ("kind", "tolerance_mm", "learn2reg", "submission", "against", "cluster")
OF_MODEL = ("data", "precision", "subjects", "hyper")


class EvaluateConfig(TaskConfig):
    """Config of the task; without `data` the cohort, split and shape of the model's own run."""

    output: Path = pydantic.Field(Path("runs/evaluate"), validate_default=True)
    """Folder for everything that is written."""
    task: Literal["evaluate"] = "evaluate"
    """Name of the task."""
    model: Path | None = None
    """Run folder of a trained model, or its model.keras: its test subjects are measured; required without `pairs`."""
    pairs: Path | None = None
    """Manifest of pairs and their transforms, of `register` or of any program, in place of a model: a CSV with the
    columns moving, fixed and transforms (files joined by ";", the first moves the image first), and perhaps
    moving_labels, fixed_labels, moving_points, fixed_points, inverse (transforms that lead back), moving_subject,
    fixed_subject, seconds; paths relative to it."""
    kind: Kind | None = None
    """Convention of those transforms of `pairs` that do not say it themselves; see `apply`."""
    tolerance_mm: float = pydantic.Field(1.0, gt=0, le=1000)
    """Distance of surfaces that counts as agreement in the surface Dice of `pairs`."""
    learn2reg: bool = False
    """Whether the measures of the Learn2Reg challenge, to the letter, are added to those of `pairs`."""
    submission: Path | None = None
    """Folder of displacements as they are submitted to Learn2Reg, disp_FIXED_MOVING.nii.gz, in place of the column
    transforms."""
    against: Path | None = None
    """Folder of an evaluation of the same pairs that this one is compared with, by paired tests over subjects."""
    cluster: ClusterConfig = ClusterConfig()
    """Where the pairs are measured."""
    data: CohortConfig | None = None
    """Another cohort; by default that of the model's own run, with its split and shape."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Number format of the convolutions; by default that of training."""
    subjects: Literal["train", "validate", "test", "all"] = "test"
    """Which part of the split is measured."""
    hyper: list[dict[str, float]] = pydantic.Field([{}], min_length=1, max_length=10_000)
    """Values of the hyper-parameters to measure at; what is left out takes the model's best."""

    @pydantic.model_validator(mode="after")
    def _of_one_kind(self):
        if self.model is None and self.pairs is None:
            raise ValueError("model: missing; add it to the file or with --set model=VALUE, or name pairs")
        if self.model is not None and self.pairs is not None:
            raise ValueError("model: measured on its own test subjects; leave out model, or pairs")
        for name in OF_PAIRS if self.pairs is None else OF_MODEL:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: belongs to {'pairs' if self.pairs is None else 'model'}; leave it out")
        return self
