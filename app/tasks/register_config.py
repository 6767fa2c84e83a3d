"""Config of the task `register`."""

from pathlib import Path
from typing import Literal

import pydantic

from app.cluster_config import ClusterConfig
from app.config import NanRule, TaskConfig


class RegisterConfig(TaskConfig):
    """Config of the task: two images, and a model with hyper-parameter values by name, or none;
    `precision` other than that of training, if one is wanted; `nan`: see `app.data.read.read_volume`."""

    output: Path = pydantic.Field(Path("runs/register"), validate_default=True)
    """Folder for everything that is written."""
    task: Literal["register"] = "register"
    """Name of the task."""
    moving: Path | None = None
    """Image that is warped; required without `pairs`."""
    fixed: Path | None = None
    """Image that it is warped to, of any size, spacing and orientation; required without `pairs`."""
    pairs: Path | None = None
    """Manifest of many pairs in place of one: a CSV with the columns moving and fixed, and perhaps moving_labels,
    fixed_labels and pair (its name), paths relative to it."""
    cluster: ClusterConfig = ClusterConfig()
    """Where the pairs of a manifest are registered."""
    affine: Literal["auto", "affine", "rigid", "similarity", "scaling", "none"] | Path = "auto"
    """Alignment before anything is deformed: "rigid" (6 parameters), "similarity" (7), "scaling" (9), "affine" (12),
    "auto" (affine; with a model none, where both images lie on a grid as in its training), "none" (by the headers
    alone), or a file of ITK or ANTs (.tfm, .txt, .mat)."""
    model: Path | None = None
    """Run folder of a trained model, or its model.keras; without, the pair is registered by an optimisation of its
    own."""
    preset: Literal["fast", "default", "accurate"] | None = None
    """How much work is done without a model; by default as much as "default" says."""
    similarity: Literal["auto", "ncc", "mapped", "nmi", "mind", "mse"] = "auto"
    """What is compared without a model, or in `refine`: "ncc" (local correlation), "mapped" (that, after the moving
    image got the fixed one's intensities by a curve), "nmi" (normalised mutual information), "mind" (descriptors, for
    contrasts that differ in any way), "mse". "auto" takes ncc, or mapped where the intensities are not monotonically
    related, or mind where no curve relates them."""
    symmetric: bool = False
    """Whether, without a model, both images are deformed to their middle: exchanged images on one grid then give the
    inverse, but for the alignment, which is nearly so. Twice the work."""
    refine: int = pydantic.Field(0, ge=0, le=1000)
    """Iterations, at most, by which the network's answer is improved at half resolution, and a quarter of them at full;
    30 is a good number."""
    working_mm: float | None = pydantic.Field(None, gt=0)
    """Voxel side of the grid on which images are compared without a model; by default that of the images."""
    grid: Literal["fixed", "moving", "working"] = "fixed"
    """Grid on which results are written: the fixed image's, the moving one's, or that on which they were compared."""
    inverse: bool = False
    """Whether the way back is written as well: inverse.nii.gz, a displacement on the moving image's grid, by the
    negative velocity of a network that has one, else by a fixed point; its residual is in the metrics. 3D only."""
    names: Literal["plain", "bids", "learn2reg"] = "plain"
    """How results are called: plainly, as derivatives of BIDS with a JSON beside each, or plainly with a folder
    `submission` of displacements as Learn2Reg takes them (of `pairs` only)."""
    hyper: dict[str, float] = {}
    """Values of the hyper-parameters by name; by default those that validation found best."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Number format of the convolutions; by default that of training."""
    moving_labels: Path | None = None
    """Label map of the moving image, warped as well."""
    fixed_labels: Path | None = None
    """Label map of the fixed image: Dice is measured where both are given."""
    frame: int | None = pydantic.Field(None, ge=0)
    """Which frame of an image of several is registered, from 0."""
    nan: NanRule = "refuse"
    """What is done with voxels that are NaN, such as the border that resampling leaves: refused, or read as 0 and
    counted in a line."""

    @pydantic.model_validator(mode="after")
    def _of_one_kind(self):
        own = [name for name in ("moving", "fixed", "moving_labels", "fixed_labels") if getattr(self, name) is not None]
        if self.pairs is not None and own:
            raise ValueError(f"{own[0]}: stands in the manifest of pairs; leave out {own[0]}, or pairs")
        if self.pairs is None:
            for name in ("moving", "fixed"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name}: missing; add it to the file or with --set {name}=VALUE")
        if self.names == "learn2reg" and self.pairs is None:
            raise ValueError("names: learn2reg names the displacements of a manifest; give pairs")
        if self.model is not None and self.preset is not None:
            raise ValueError("preset: a model has none; leave out model or preset")
        if self.model is None and (self.hyper or self.precision or self.refine):
            raise ValueError("hyper, precision and refine belong to a model; name it, or leave them out")
        if self.model is not None and (self.symmetric or self.working_mm):
            raise ValueError("symmetric and working_mm: a model has its own; leave them out, or leave out model")
        if self.model is not None and not self.refine and self.similarity != "auto":
            raise ValueError("similarity: a model has its own; leave it out, or set refine")
        return self
