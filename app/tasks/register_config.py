"""Config of the task `register`."""

from pathlib import Path
from typing import Literal

import pydantic

from app.config import NanRule, TaskConfig


class RegisterConfig(TaskConfig):
    """Config of the task: two images on one grid, a model, hyper-parameter values by name;
    `precision` other than that of training, if one is wanted; `nan`: see `app.data.read.read_volume`."""

    output: Path = pydantic.Field(Path("runs/register"), validate_default=True)
    """Folder for everything that is written."""
    task: Literal["register"] = "register"
    """Name of the task."""
    moving: Path
    """Image that is warped."""
    fixed: Path
    """Image that it is warped to; on the same grid."""
    model: Path
    """Run folder of a trained model, or its model.keras."""
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
