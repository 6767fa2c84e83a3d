"""Config of the task `fov`."""

from pathlib import Path
from typing import Annotated, Literal

import pydantic

from app.config import Config, NanRule, TaskConfig, Width
from app.data.intensity import IntensityRule
from app.data.phantoms.config import BodiesConfig
from app.data.split import SplitConfig


class FovDataConfig(IntensityRule):
    """Where the volumes are, and how their slices are seen."""

    cohort: Path | None = None
    """CSV with the columns subject, image and regions; paths are relative to it."""
    phantom: BodiesConfig | None = None
    """Simulate a cohort of bodies instead of reading images."""
    size: int = pydantic.Field(128, ge=16, le=2048)
    """Rows and columns of the slices that the network sees."""
    context: int = pydantic.Field(0, ge=0, le=3)
    """Neighbouring slices on each side that the network sees as well."""
    nan: NanRule = "refuse"
    """What is done with voxels that are NaN, such as the border that resampling leaves: refused, or read as 0 and
    counted in a line."""
    split: SplitConfig = SplitConfig(train=0.5, validate=0.25, test=0.25)
    """Which subjects are for training, validation and test."""

    @pydantic.model_validator(mode="after")
    def _one_source(self):
        if (self.cohort is None) == (self.phantom is None):
            raise ValueError("give one of cohort and phantom")
        return self


class FovNetworkConfig(Config):
    """The network: see `nets.classification.slice_classifier.SliceClassifier`; defaults are the thesis' baseline."""

    blocks: int = pydantic.Field(5, ge=1, le=11)
    """Blocks of convolutions; each halves the slice."""
    convolutions: int = pydantic.Field(1, ge=1, le=16)
    """Convolutions in a block."""
    filters: Width = 64
    """Filters of a convolution."""
    kernel_size: int = pydantic.Field(3, ge=1, le=31)
    """Width of a convolution, in pixels."""
    separable: bool = False
    """Whether each convolution is done along the columns, then along the rows."""
    head: Literal["dense", "pool"] = "dense"
    """Dense layers on the whole map (the thesis), or the mean of the map."""
    units: list[Annotated[int, pydantic.Field(ge=1, le=65_536)]] = pydantic.Field([4096, 1024], max_length=8)
    """Units of the dense layers."""


class FovTrainingConfig(Config):
    """How long and how fast; defaults are the thesis' but for the number of slices per epoch."""

    epochs: int = pydantic.Field(30, ge=1, le=100_000)
    """Epochs of training; a checkpoint is written after each."""
    steps: int = pydantic.Field(1000, ge=1, le=1_000_000)
    """Batches in an epoch, unless slices is given."""
    batch_size: int = pydantic.Field(8, ge=1, le=4096)
    """Slices in a batch."""
    slices: int | None = pydantic.Field(None, ge=1, le=10**9)
    """Slices in an epoch, in place of steps."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Stochastic gradient descent (the thesis), or Adam."""
    learning_rate: float = pydantic.Field(1.0e-3, gt=0, le=1e38)
    """Learning rate."""
    decay: bool = False
    """Whether the learning rate falls to a fiftieth along a cosine."""
    replicas: int = pydantic.Field(1, ge=1, le=64)
    """Devices that share a batch."""
    validate_every: int = pydantic.Field(1, ge=1, le=100_000)
    """Epochs between validations."""
    validate_slices: int = pydantic.Field(2000, ge=1, le=10**7)
    """Slices that a validation measures, at most."""

    @property
    def steps_per_epoch(self):
        """Batches per epoch: `steps`, or as many as show `slices`."""
        return self.steps if self.slices is None else max(1, round(self.slices / self.batch_size))


class AugmentationConfig(Config):
    """Largest changes of a training slice: the thesis' affine ones and noise, and contrast and bias field."""

    rotation_degrees: float = pydantic.Field(10.0, ge=0, le=180)
    """Largest rotation, in degrees."""
    translation: float = pydantic.Field(0.08, ge=0, lt=1)
    """Largest shift, as a share of the slice."""
    zoom: float = pydantic.Field(0.15, ge=0, le=4)
    """Largest relative change of size."""
    shear: float = pydantic.Field(0.1, ge=0, le=4)
    """Largest shear."""
    gamma: float = pydantic.Field(0.5, ge=0, le=5)
    """Largest change of contrast: the logarithm of the intensities' exponent."""
    bias: float = pydantic.Field(0.3, ge=0, lt=1)
    """Largest change of brightness across the slice."""
    noise: float = pydantic.Field(0.04, ge=0, le=10)
    """Largest standard deviation of the noise."""


class DecisionConfig(Config):
    """The decision over a volume: see `nets.classification.volume_decision.VolumeDecision`."""

    least_mm: float = pydantic.Field(60.0, ge=0, le=10_000)
    """Least length of a region that the field of view does not cut, in mm."""
    skip: float = pydantic.Field(40.0, ge=0, le=1e6)
    """Price of leaving out a region between two others, in units of a slice's log-probability."""


class FovConfig(TaskConfig):
    """Config of the task."""

    task: Literal["fov"] = "fov"
    """Name of the task."""
    data: FovDataConfig
    """Images, and what is done with them."""
    network: FovNetworkConfig = FovNetworkConfig()
    """The network that is trained."""
    training: FovTrainingConfig = FovTrainingConfig()
    """How the network is trained."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """How training slices are changed at random."""
    decision: DecisionConfig = DecisionConfig()
    """How a volume's regions are decided from its slices."""

    @pydantic.model_validator(mode="after")
    def _blocks_fit(self):
        if 2**self.network.blocks > self.data.size:
            most = self.data.size.bit_length() - 1
            raise ValueError(f"network.blocks: at most {most} for slices of {self.data.size} (each halves the slice)")
        return self
