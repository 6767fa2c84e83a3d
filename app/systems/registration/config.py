"""Config of the task `hypermorph`."""

from pathlib import Path
from typing import Annotated, Literal

import pydantic

from app.config import Axis, Config, NanRule, PathPattern, TaskConfig, Width
from app.data.intensity import IntensityRule
from app.data.phantoms.config import BrainsConfig
from app.data.split import SplitConfig
from nets.registration.terms import TERMS

MOST_POINTS = 10_000  # at which a trained model is measured


class CohortConfig(IntensityRule):
    """Where the images are, and what is done with them."""

    cohort: Path | None = None
    """CSV with the columns subject, image and perhaps labels, paths relative to it; give this, or images, or
    phantom."""
    images: PathPattern | None = None
    """Glob pattern of the images, in place of a CSV."""
    labels: PathPattern | None = None
    """Glob pattern of the label maps; its wildcards pair them with the images."""
    phantom: BrainsConfig | None = None
    """Simulate a cohort of brains instead of reading images."""
    label_names: Path | None = None
    """CSV with the columns index and name; by default a labels.csv beside the cohort, else labels have their numbers as
    names."""
    structures: list[Annotated[int, pydantic.Field(ge=0, lt=2**32)]] | None = pydantic.Field(None, max_length=10_000)
    """Label values that are compared; by default all that occur."""
    allow_absent_labels: bool = False
    """Whether a label is left out for subjects that lack it; else they are refused."""
    shape: list[Axis] | None = pydantic.Field(None, min_length=2, max_length=3)
    """Voxels along each axis to which images are cropped or padded about their centre; by default the largest along
    each axis."""
    nan: NanRule = "refuse"
    """What is done with voxels that are NaN, such as the border that resampling leaves: refused, or read as 0 and
    counted in a line."""
    split: SplitConfig = SplitConfig()
    """Which subjects are for training, validation and test: dealt by the seed, a subject is in one of them alone."""
    pairs: int = pydantic.Field(20, ge=1, le=1_000_000)
    """Pairs of test subjects that are measured, at most; drawn by the seed."""
    cache_gib: float = pydantic.Field(1.0, gt=0, le=1e6)
    """Memory for prepared images, in GiB; the rest is read again from disk."""


class NetworkConfig(Config):
    """The network: see `nets.registration.hypermorph.HyperMorph`."""

    rank: Literal[2, 3] = 3
    """Dimensions of the images."""
    features: Literal["images", "forces"] = "forces"
    """What the encoder sees: the two images (the paper), or registration forces computed from them."""
    generator: Literal["per_channel", "low_rank", "full"] = "per_channel"
    """How the hypernetwork makes weights: a factor for each channel, matrices of low rank, or every weight (the
    paper)."""
    units: Width = 64
    """Width of the hypernetwork."""
    depth: int = pydantic.Field(4, ge=1, le=64)
    """Layers of the hypernetwork."""
    encoder: list[Width] = pydantic.Field([16, 32, 32, 32], max_length=10)
    """Filters of each level on the way down."""
    decoder: list[Width] = pydantic.Field([32, 32, 32, 32], max_length=10)
    """Filters of each level on the way up."""
    final: list[Width] = pydantic.Field([32, 16, 16], max_length=16)
    """Filters of the last convolutions."""
    velocity_resolution: Literal[1, 2] = 2
    """1 for a velocity on every voxel, 2 for half resolution."""
    integration_steps: int = pydantic.Field(7, ge=0, le=12)
    """Squarings of the integration; 0 predicts a displacement, which may fold."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the convolutions; weights and fields stay float32."""

    @pydantic.model_validator(mode="after")
    def _widths_fit(self):
        if len(self.encoder) != len(self.decoder) or not self.final:
            raise ValueError("encoder and decoder need as many widths as each other, final at least one")
        if len(self.encoder) < self.velocity_resolution:
            raise ValueError("a velocity at half resolution needs two encoder levels or more")
        return self


Weight = Annotated[float, pydantic.Field(ge=0, le=1000)]


class ObjectiveConfig(Config):
    """The loss: see `nets.registration.objective.Objective`."""

    similarity: Literal["ncc", "mse", "nmi", "mi"] = "ncc"
    """Local correlation, which ignores bias fields; squared difference; normalised mutual information, for two
    contrasts; or mutual information (VoxelMorph)."""
    lambda_: float = pydantic.Field(0.5, ge=0, le=1, alias="lambda")
    """Weight of smoothness against the rest (equation 2), where it is not learned."""
    gamma: float = pydantic.Field(0.0, ge=0, le=1)
    """Weight of the overlap of labels against similarity (equation 3), where it is not learned."""
    ncc_window: float = pydantic.Field(9, ge=1, le=255)
    """Width of the window of the local correlation, in voxels."""
    nmi_bins: float = pydantic.Field(32, ge=2, le=1024)
    """Bins of the histogram of mutual information."""
    image_sigma: float = pydantic.Field(0.05, gt=0, le=100)
    """Standard deviation of the noise of images in [0, 1], for mse."""
    terms: dict[Literal[tuple(TERMS)], Weight] = {}
    """Further terms of the loss with their weights: bending, the bending energy of the velocity."""


class HyperConfig(Config):
    """One learned hyper-parameter: see `nets.registration.hyper_parameter.HyperParameter`."""

    name: str = pydantic.Field("lambda", max_length=100, pattern="^[a-z_]+$")
    """Which hyper-parameter is learned over a range: lambda, gamma, ncc_window, nmi_bins, or a term of
    objective.terms, whose weight it is."""
    low: float = pydantic.Field(0.0, ge=0, le=1024)
    """Lowest value."""
    high: float = pydantic.Field(1.0, ge=0, le=1024)
    """Highest value."""
    sampling: Literal["uniform", "log_odds"] = "uniform"
    """How training draws values: evenly, or evenly in log(value / (1 - value)), for lambda and gamma."""
    endpoints: float = pydantic.Field(0.2, ge=0, le=1)
    """Share of the draws at the two ends."""


class TrainingConfig(Config):
    """How long, how fast, how often validated."""

    epochs: int = pydantic.Field(20, ge=1, le=100_000)
    """Epochs of training; a checkpoint is written after each."""
    steps: int = pydantic.Field(100, ge=1, le=1_000_000)
    """Batches in an epoch."""
    batch_size: int = pydantic.Field(1, ge=1, le=4096)
    """Pairs in a batch."""
    replicas: int = pydantic.Field(1, ge=1, le=64)
    """Devices that share a batch."""
    hyper_per: Literal["batch", "sample"] = "sample"
    """What shares a draw of the hyper-parameters: a pair, or a whole batch (the paper)."""
    learning_rate: float = pydantic.Field(1.0e-3, gt=0, le=1e38)
    """Adam's learning rate."""
    decay: bool = True
    """Whether the learning rate falls to a fiftieth along a cosine."""
    validate_every: int = pydantic.Field(5, ge=1, le=100_000)
    """Epochs between validations."""
    validate_pairs: int = pydantic.Field(5, ge=1, le=1_000_000)
    """Pairs that a validation measures."""

    @pydantic.model_validator(mode="after")
    def _batch_divides(self):
        if self.batch_size % self.replicas:
            raise ValueError(f"batch_size {self.batch_size} does not divide into {self.replicas} replicas")
        return self


class EvaluationConfig(Config):
    """Values of the hyper-parameters at which the trained model is measured."""

    values: int = pydantic.Field(11, ge=2, le=1000)
    """Values of each hyper-parameter at which the trained model is measured."""


class HyperMorphConfig(TaskConfig):
    """Config of the task."""

    task: Literal["hypermorph"] = "hypermorph"
    """Name of the task."""
    data: CohortConfig
    """Images, and what is done with them."""
    network: NetworkConfig = NetworkConfig()
    """The network that is trained."""
    objective: ObjectiveConfig = ObjectiveConfig()
    """The loss that is minimised."""
    hyper: list[HyperConfig] = pydantic.Field([HyperConfig()], max_length=4)
    """Hyper-parameters that the network learns over a range; with none ([]) it is plain VoxelMorph, trained at the
    values of objective."""
    training: TrainingConfig = TrainingConfig()
    """How the network is trained."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """How the trained network is measured."""

    @pydantic.model_validator(mode="after")
    def _grid_fits(self):
        points = self.evaluation.values ** len(self.hyper)
        if points > MOST_POINTS:
            raise ValueError(f"evaluation.values: {points:,} points of the hyper-parameters; at most {MOST_POINTS:,}")
        return self
