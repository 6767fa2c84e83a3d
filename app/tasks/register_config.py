"""Config of the task `register`."""

from pathlib import Path
from typing import Literal

import pydantic

from app.config import NanRule, TaskConfig


class RegisterConfig(TaskConfig):
    """Config of the task: two images, and a model with hyper-parameter values by name, or none;
    `precision` other than that of training, if one is wanted; `nan`: see `app.data.read.read_volume`."""

    output: Path = pydantic.Field(Path("runs/register"), validate_default=True)
    """Folder for everything that is written."""
    task: Literal["register"] = "register"
    """Name of the task."""
    moving: Path
    """Image that is warped."""
    fixed: Path
    """Image that it is warped to; with a model on the same grid."""
    model: Path | None = None
    """Run folder of a trained model, or its model.keras; without, the pair is registered by an optimisation of its
    own."""
    preset: Literal["fast", "default", "accurate"] | None = None
    """How much work is done without a model; by default as much as "default" says."""
    hyper: dict[str, float] = {}
    """Values of the hyper-parameters by name; by default those that validation found best."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Number format of the convolutions; by default that of training."""
    moving_labels: Path | None = None
    """Label map of the moving image, warped as well."""
    fixed_labels: Path | None = None
    """Label map of the fixed image: Dice is measured where both are given."""
    nan: NanRule = "refuse"
    """What is done with voxels that are NaN, such as the border that resampling leaves: refused, or read as 0 and
    counted in a line."""

    @pydantic.model_validator(mode="after")
    def _of_one_kind(self):
        if self.model is not None and self.preset is not None:
            raise ValueError("preset: a model has none; leave out model or preset")
        if self.model is None and (self.hyper or self.precision):
            raise ValueError("hyper and precision belong to a model; name it, or leave them out")
        return self
