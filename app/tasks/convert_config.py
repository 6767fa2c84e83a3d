"""Config of the task `convert`."""

from pathlib import Path
from typing import Literal

import pydantic

from app.config import NanRule, TaskConfig
from app.data.intensity import IntensityRule
from app.systems.registration.config import HyperConfig


class ConvertConfig(IntensityRule, TaskConfig):
    """Config of the task.

    The official packages normalise nothing: `low_percentile`, `high_percentile` and `background` say how
    `register` and the SavedModel shall bring images to [0, 1] before they reach the network.
    """

    output: Path = pydantic.Field(Path("runs/convert"), validate_default=True)
    """Folder for everything that is written."""
    task: Literal["convert"] = "convert"
    """Name of the task."""
    file: Path
    """Official model file (.h5) of VoxelMorph 0.2."""
    verify: bool = False
    """Whether the original package answers too and is compared."""
    moving: Path | None = None
    """Image to verify on; by default a random one."""
    fixed: Path | None = None
    """The other image to verify on; both are given, or neither."""
    nan: NanRule = "refuse"
    """What is done with voxels that are NaN, such as the border that resampling leaves: refused, or read as 0 and
    counted in a line."""
    spacing_mm: float = pydantic.Field(1.0, ge=0.001, le=1000)
    """Voxel size of the images that the model was trained on."""
    low_percentile: float = pydantic.Field(0.0, ge=0, lt=100)
    """Percentile of the intensities that becomes 0: the official packages normalise nothing."""
    high_percentile: float = pydantic.Field(100.0, gt=0, le=100)
    """Percentile of the intensities that becomes 1."""
    background: Literal["excluded", "included"] = "included"
    """Whether voxels with the lowest value count towards the percentiles."""
    hyper: list[HyperConfig] = pydantic.Field([HyperConfig()], max_length=4)
    """Names and ranges of the file's hyper-parameters, in the order of its input."""
