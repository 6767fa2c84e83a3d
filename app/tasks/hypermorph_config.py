"""Config of the task `hypermorph`."""

from typing import Literal

import pydantic

from app.config import Config, TaskConfig, Width
from app.data.cohort import CohortConfig

MOST_POINTS = 10_000  # at which a trained model is measured


class NetworkConfig(Config):
    """The network: see `nets.registration.hypermorph.HyperMorph`."""

    rank: Literal[2, 3] = 3
    features: Literal["images", "forces"] = "forces"
    generator: Literal["per_channel", "low_rank", "full"] = "per_channel"
    units: Width = 64
    depth: int = pydantic.Field(4, ge=1, le=64)
    encoder: list[Width] = pydantic.Field([16, 32, 32, 32], max_length=10)
    decoder: list[Width] = pydantic.Field([32, 32, 32, 32], max_length=10)
    final: list[Width] = pydantic.Field([32, 16, 16], max_length=16)
    velocity_resolution: Literal[1, 2] = 2
    integration_steps: int = pydantic.Field(7, ge=0, le=12)
    precision: Literal["float32", "bfloat16"] = "float32"

    @pydantic.model_validator(mode="after")
    def _widths_fit(self):
        if len(self.encoder) != len(self.decoder) or not self.final:
            raise ValueError("encoder and decoder need as many widths as each other, final at least one")
        if len(self.encoder) < self.velocity_resolution:
            raise ValueError("a velocity at half resolution needs two encoder levels or more")
        return self


class ObjectiveConfig(Config):
    """The loss: see `nets.registration.objective.Objective`."""

    similarity: Literal["ncc", "mse", "nmi", "mi"] = "ncc"
    lambda_: float = pydantic.Field(0.5, ge=0, le=1, alias="lambda")
    gamma: float = pydantic.Field(0.0, ge=0, le=1)
    ncc_window: float = pydantic.Field(9, ge=1, le=255)
    nmi_bins: float = pydantic.Field(32, ge=2, le=1024)
    image_sigma: float = pydantic.Field(0.05, gt=0, le=100)


class HyperConfig(Config):
    """One learned hyper-parameter: see `nets.registration.hyper_parameter.HyperParameter`."""

    name: Literal["lambda", "gamma", "ncc_window", "nmi_bins"] = "lambda"
    low: float = pydantic.Field(0.0, ge=0, le=1024)
    high: float = pydantic.Field(1.0, ge=0, le=1024)
    sampling: Literal["uniform", "log_odds"] = "uniform"
    endpoints: float = pydantic.Field(0.2, ge=0, le=1)


class TrainingConfig(Config):
    """How long, how fast, how often validated."""

    epochs: int = pydantic.Field(20, ge=1, le=100_000)
    steps: int = pydantic.Field(100, ge=1, le=1_000_000)
    batch_size: int = pydantic.Field(1, ge=1, le=4096)
    replicas: int = pydantic.Field(1, ge=1, le=64)
    hyper_per: Literal["batch", "sample"] = "sample"
    learning_rate: float = pydantic.Field(1.0e-3, gt=0, le=1e38)
    decay: bool = True
    validate_every: int = pydantic.Field(5, ge=1, le=100_000)
    validate_pairs: int = pydantic.Field(5, ge=1, le=1_000_000)

    @pydantic.model_validator(mode="after")
    def _batch_divides(self):
        if self.batch_size % self.replicas:
            raise ValueError(f"batch_size {self.batch_size} does not divide into {self.replicas} replicas")
        return self


class EvaluationConfig(Config):
    """Values of the hyper-parameters at which the trained model is measured."""

    values: int = pydantic.Field(11, ge=2, le=1000)


class HyperMorphConfig(TaskConfig):
    """Config of the task."""

    task: Literal["hypermorph"] = "hypermorph"
    data: CohortConfig
    network: NetworkConfig = NetworkConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    hyper: list[HyperConfig] = pydantic.Field([HyperConfig()], min_length=1, max_length=4)
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @pydantic.model_validator(mode="after")
    def _grid_fits(self):
        points = self.evaluation.values ** len(self.hyper)
        if points > MOST_POINTS:
            raise ValueError(f"evaluation.values: {points:,} points of the hyper-parameters; at most {MOST_POINTS:,}")
        return self
