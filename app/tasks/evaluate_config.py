"""Config of the task `evaluate`."""

from pathlib import Path
from typing import Literal

import pydantic

from app.config import TaskConfig
from app.systems.registration.config import CohortConfig


class EvaluateConfig(TaskConfig):
    """Config of the task; without `data` the cohort, split and shape of the model's own run."""

    output: Path = pydantic.Field(Path("runs/evaluate"), validate_default=True)
    """Folder for everything that is written."""
    task: Literal["evaluate"] = "evaluate"
    """Name of the task."""
    model: Path
    """Run folder of a trained model, or its model.keras."""
    data: CohortConfig | None = None
    """Another cohort; by default that of the model's own run, with its split and shape."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Number format of the convolutions; by default that of training."""
    subjects: Literal["train", "validate", "test", "all"] = "test"
    """Which part of the split is measured."""
    hyper: list[dict[str, float]] = pydantic.Field([{}], min_length=1, max_length=10_000)
    """Values of the hyper-parameters to measure at; what is left out takes the model's best."""
