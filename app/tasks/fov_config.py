"""Config of the task `fov`."""

from pathlib import Path
from typing import Annotated, Literal

import pydantic

from app.config import Config, NanRule, TaskConfig, Width
from app.data.cohort import SplitConfig
from app.data.intensity import IntensityRule
from app.data.phantoms.bodies import BodiesConfig


class FovDataConfig(IntensityRule):
    """Where the volumes are, and how their slices are seen."""

    cohort: Path | None = None
    phantom: BodiesConfig | None = None
    size: int = pydantic.Field(128, ge=16, le=2048)
    context: int = pydantic.Field(0, ge=0, le=3)
    nan: NanRule = "refuse"
    split: SplitConfig = SplitConfig(train=0.5, validate=0.25, test=0.25)

    @pydantic.model_validator(mode="after")
    def _one_source(self):
        if (self.cohort is None) == (self.phantom is None):
            raise ValueError("give one of cohort and phantom")
        return self


class FovNetworkConfig(Config):
    """The network: see `nets.classification.slice_classifier.SliceClassifier`; defaults are the thesis' baseline."""

    blocks: int = pydantic.Field(5, ge=1, le=11)
    convolutions: int = pydantic.Field(1, ge=1, le=16)
    filters: Width = 64
    kernel_size: int = pydantic.Field(3, ge=1, le=31)
    separable: bool = False
    head: Literal["dense", "pool"] = "dense"
    units: list[Annotated[int, pydantic.Field(ge=1, le=65_536)]] = pydantic.Field([4096, 1024], max_length=8)


class FovTrainingConfig(Config):
    """How long and how fast; defaults are the thesis' but for the number of slices an epoch."""

    epochs: int = pydantic.Field(30, ge=1, le=100_000)
    steps: int = pydantic.Field(1000, ge=1, le=1_000_000)
    batch_size: int = pydantic.Field(8, ge=1, le=4096)
    slices: int | None = pydantic.Field(None, ge=1, le=10**9)
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = pydantic.Field(1.0e-3, gt=0, le=1e38)
    decay: bool = False
    replicas: int = pydantic.Field(1, ge=1, le=64)
    validate_every: int = pydantic.Field(1, ge=1, le=100_000)
    validate_slices: int = pydantic.Field(2000, ge=1, le=10**7)

    @property
    def steps_per_epoch(self):
        """Batches an epoch: `steps`, or as many as show `slices`."""
        return self.steps if self.slices is None else max(1, round(self.slices / self.batch_size))


class AugmentationConfig(Config):
    """Largest changes of a training slice: the thesis' affine ones and noise, and contrast and bias field."""

    rotation_degrees: float = pydantic.Field(10.0, ge=0, le=180)
    translation: float = pydantic.Field(0.08, ge=0, lt=1)
    zoom: float = pydantic.Field(0.15, ge=0, le=4)
    shear: float = pydantic.Field(0.1, ge=0, le=4)
    gamma: float = pydantic.Field(0.5, ge=0, le=5)
    bias: float = pydantic.Field(0.3, ge=0, lt=1)
    noise: float = pydantic.Field(0.04, ge=0, le=10)


class DecisionConfig(Config):
    """The decision over a volume: see `nets.classification.volume_decision.VolumeDecision`."""

    least_mm: float = pydantic.Field(60.0, ge=0, le=10_000)
    skip: float = pydantic.Field(40.0, ge=0, le=1e6)


class FovConfig(TaskConfig):
    """Config of the task."""

    task: Literal["fov"] = "fov"
    data: FovDataConfig
    network: FovNetworkConfig = FovNetworkConfig()
    training: FovTrainingConfig = FovTrainingConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    decision: DecisionConfig = DecisionConfig()

    @pydantic.model_validator(mode="after")
    def _blocks_fit(self):
        if 2**self.network.blocks > self.data.size:
            most = self.data.size.bit_length() - 1
            raise ValueError(f"network.blocks: at most {most} for slices of {self.data.size} (each halves the slice)")
        return self
