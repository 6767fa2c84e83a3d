"""Sections of the configs of `kidney` and `template`: volumes on cubes, the U-Net, its training."""

from pathlib import Path
from typing import Annotated

import pydantic

from app.config import Config, NanRule, Width
from app.data.intensity import IntensityRule
from app.data.phantoms.config import KidneysConfig
from app.data.split import SplitConfig


class CubeDataConfig(IntensityRule):
    """Where the volumes are, and the cube on which a network sees them; defaults are the thesis'."""

    cohort: Path | None = None
    """CSV with the columns subject, image, mask and perhaps population; paths are relative to it."""
    phantom: KidneysConfig | None = None
    """Simulate a cohort of kidneys instead of reading images."""
    size: int = pydantic.Field(80, ge=16, multiple_of=8, le=2048)
    """Voxels along each axis of the cube that the network sees."""
    spacing_mm: float = pydantic.Field(4.0, ge=0.001, le=1000)
    """Voxel size of the cube, in mm."""
    nan: NanRule = "refuse"
    """What is done with voxels that are NaN, such as the border that resampling leaves: refused, or read as 0 and
    counted in a line."""
    labels: list[Annotated[int, pydantic.Field(gt=0, le=65535)]] | None = pydantic.Field(None, max_length=1000)
    """Label values of the masks that are segmented; by default everything that is not 0, as one structure."""
    split: SplitConfig = SplitConfig(train=0.8, validate=0.0, test=0.2)
    """Which subjects are for training, validation and test."""

    @pydantic.model_validator(mode="after")
    def _one_source(self):
        if (self.cohort is None) == (self.phantom is None):
            raise ValueError("give one of cohort and phantom")
        return self


class SegmentationNetworkConfig(Config):
    """The U-Net: see `nets.segmentation_unet.SegmentationUNet`; defaults are the thesis'."""

    filters: list[Width] = pydantic.Field([53, 106, 212, 424], min_length=2, max_length=4)
    """Filters of each level of the U-Net."""
    dropout: float = pydantic.Field(0.1, ge=0, lt=1)
    """Share of maps that are dropped in training."""
    batch_normalisation: bool = False
    """Whether maps are normalised over the batch."""


class CubeTrainingConfig(Config):
    """How long and how fast."""

    epochs: int = pydantic.Field(60, ge=1, le=100_000)
    """Epochs of training; a checkpoint is written after each."""
    batch_size: int = pydantic.Field(2, ge=1, le=4096)
    """Volumes in a batch."""
    learning_rate: float = pydantic.Field(1.0e-3, gt=0, le=1e38)
    """Adam's learning rate."""
    decay: bool = True
    """Whether the learning rate falls to a fiftieth along a cosine."""
    replicas: int = pydantic.Field(1, ge=1, le=64)
    """Devices that share a batch."""
    validate_every: int = pydantic.Field(5, ge=1, le=100_000)
    """Epochs between validations."""


class CubeAugmentationConfig(Config):
    """Standard deviations: the thesis' table 4.1 (its noise of 5 in 255), and of a gain's exponent."""

    noise: float = pydantic.Field(0.02, ge=0, le=10)
    """Standard deviation of the strength of the noise."""
    translation_vox: float = pydantic.Field(3.0, ge=0, le=1000)
    """Standard deviation of the shift, in voxels."""
    rotation_radians: float = pydantic.Field(0.05, ge=0, le=10)
    """Standard deviation of the rotation, in radians."""
    scaling: float = pydantic.Field(0.05, ge=0, le=4)
    """Standard deviation of the logarithm of the scale."""
    gamma: float = pydantic.Field(0.0, ge=0, le=5)
    """Standard deviation of the logarithm of the intensities' exponent."""
