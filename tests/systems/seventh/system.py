"""Config, contract and files of the seventh system; Keras is not imported."""

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from app.config import TaskConfig
from app.systems.contract import KEPT, Contract, Millimetres, Size
from app.systems.masks.config import CubeAugmentationConfig, CubeDataConfig, CubeTrainingConfig
from app.systems.masks.system import MaskSystem
from app.training.cost import Cost


class BrightnessConfig(TaskConfig):
    """Config of the task."""

    task: Literal["seventh"] = "seventh"
    """Name of the task."""
    data: CubeDataConfig
    """Images and masks."""
    training: CubeTrainingConfig = CubeTrainingConfig()
    """How it is trained."""
    augmentation: CubeAugmentationConfig = CubeAugmentationConfig()
    """How training volumes are changed at random."""
    structures: None = None
    """One structure."""


@dataclass(**KEPT)
class BrightnessContract(Contract):
    """Kept beside the model."""

    SYSTEM: ClassVar[str] = "seventh"
    SAYS: ClassVar[str] = "on which cube it sees"

    size: Size
    spacing_mm: Millimetres


class Brightness(MaskSystem):
    """The system."""

    free_keys = ("data.nan",)

    def populations(self, config):
        """Adults alone."""
        return ("source",)

    def cost(self, config, cohort=None):
        """Next to nothing."""
        return Cost(weights=100)
