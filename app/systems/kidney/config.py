"""Config of the task `kidney`."""

from pathlib import Path
from typing import Literal

import pydantic

from app.config import TaskConfig
from app.systems.masks.config import (
    CubeAugmentationConfig,
    CubeDataConfig,
    CubeTrainingConfig,
    SegmentationNetworkConfig,
)
from transfer.strategy import STRATEGIES


class KidneyDataConfig(CubeDataConfig):
    """The same, and how many volumes of the target population are trained on; None for all."""

    target_examples: int | None = pydantic.Field(None, ge=1, le=1_000_000)
    """Volumes of the target population to train on; by default all."""


class KidneyConfig(TaskConfig):
    """Config of the task."""

    task: Literal["kidney"] = "kidney"
    """Name of the task."""
    strategy: Literal[tuple(STRATEGIES)] = "source"
    """What is trained on which population; docs/results/kidney.md compares them."""
    source: Path | None = None
    """Run folder of the network that a transfer starts from."""
    layers: int | None = pydantic.Field(None, ge=1, le=1000)
    """Convolutions that are trained, for the strategies first_layers and last_layers."""
    data: KidneyDataConfig
    """Images, and what is done with them."""
    network: SegmentationNetworkConfig | None = None
    """The U-Net; a transfer takes that of its source."""
    training: CubeTrainingConfig = CubeTrainingConfig()
    """How the network is trained."""
    augmentation: CubeAugmentationConfig = CubeAugmentationConfig()
    """How training volumes are changed at random."""
    largest_component: bool = False
    """Whether only the largest part of each predicted mask is kept."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _own_network(cls, values):
        if not isinstance(values, dict):
            return values
        strategy = STRATEGIES.get(str(values.get("strategy", "source")))
        own = strategy is not None and not strategy.from_source
        return {**values, "network": values.get("network") or {}} if own else values

    @pydantic.model_validator(mode="after")
    def _start(self):
        strategy = STRATEGIES[self.strategy]
        if not strategy.from_source and self.source is not None:
            raise ValueError(f"source: strategy '{self.strategy}' starts from nothing; remove the key")
        if strategy.from_source and self.source is None:
            raise ValueError(f"source: strategy '{self.strategy}' starts from a trained network; give its run folder")
        if strategy.from_source and self.network is not None:
            raise ValueError(f"network: strategy '{self.strategy}' takes that of the source; remove the key")
        if strategy.from_source and self.training.replicas > 1:
            raise ValueError("training.replicas: a network is adapted on one device; set it to 1")
        if (self.layers is None) == strategy.counts_layers:
            raise ValueError("layers: how many convolutions; for the strategies first_layers and last_layers only")
        return self

    @property
    def structures(self):
        """Values of the masks that make up the kidney, as `app.systems.masks.cohort.read_mask` takes them."""
        return self.data.labels and [self.data.labels]
