"""Config of the task `template`."""

from pathlib import Path
from typing import Literal

import pydantic

from app.config import Config, TaskConfig
from app.systems.masks.config import (
    CubeAugmentationConfig,
    CubeDataConfig,
    CubeTrainingConfig,
    SegmentationNetworkConfig,
)


class TemplateShapeConfig(Config):
    """The template: read from a file, or built from training masks (see `segmentation.template`)."""

    file: Path | None = None
    """Template file of an earlier build, in place of building one."""
    kind: Literal["mean", "subject", "bank", "learned", "mask"] = "mean"
    """What the template is: the mean of the training masks, the subject nearest to all others, a bank of means, a mean
    that training changes, or a mask of yours."""
    mask: Path | None = None
    """Mask file, for kind mask."""
    members: int = pydantic.Field(3, ge=2, le=16)
    """Templates of a bank."""
    subjects: int = pydantic.Field(30, ge=1, le=1_000_000)
    """Training masks that the template is built from, at most."""
    allow_parts: bool = False
    """Whether a structure of the template may have several parts or holes."""

    @pydantic.model_validator(mode="after")
    def _one_mask(self):
        if (self.kind == "mask") != (self.mask is not None):
            raise ValueError("mask: a mask file, for kind 'mask' only")
        if self.file is not None and self.kind not in ("mean", "learned"):
            raise ValueError(f"file: the template is read, kind '{self.kind}' builds one; remove one of the two")
        return self


class TemplateNetworkConfig(SegmentationNetworkConfig):
    """See `segmentation.template_network.TemplateNetwork`; transform "none" is the U-Net it is compared with.

    `pose_weight` is that of `segmentation.pose_loss.PoseLoss`.
    """

    transform: Literal["global_local", "global", "local", "none"] = "global_local"
    """What deforms the template: a pose, a local field, or both; none is the U-Net it is compared with."""
    diffeomorphic: bool = True
    """Whether the local field is the flow of a velocity; else a displacement, which may fold."""
    local_weight: float = pydantic.Field(0.01, ge=0, le=1e6)
    """Weight of the smoothness of the local field in the loss."""
    volume_weight: float = pydantic.Field(0.05, ge=0, le=1e6)
    """Weight of the change of volume by the local field in the loss."""
    pose_weight: float = pydantic.Field(0.3, ge=0, le=1e6)
    """Weight of the predicted pose in the loss."""


class TemplateConfig(TaskConfig):
    """Config of the task."""

    task: Literal["template"] = "template"
    """Name of the task."""
    data: CubeDataConfig
    """Images, and what is done with them."""
    template: TemplateShapeConfig = TemplateShapeConfig()
    """The template that is deformed."""
    network: TemplateNetworkConfig = TemplateNetworkConfig()
    """The network that deforms it."""
    training: CubeTrainingConfig = CubeTrainingConfig()
    """How the network is trained."""
    augmentation: CubeAugmentationConfig = CubeAugmentationConfig()
    """How training volumes are changed at random."""
    refinement_steps: int = pydantic.Field(0, ge=0, le=500)
    """Steps by which each predicted transform is fitted to the evidence; 0 for none."""
    largest_component: bool = False
    """Whether only the largest part of each predicted mask is kept, for transform none."""
    surface: Literal["gifti", "stl", "none"] = "gifti"
    """Format of the surfaces that are written beside the masks."""

    @property
    def structures(self):
        """Values of the masks that make up each structure, as `app.systems.masks.cohort.read_mask` takes them."""
        return self.data.labels and [[label] for label in self.data.labels]

    @pydantic.model_validator(mode="after")
    def _largest(self):
        if self.largest_component and self.network.transform != "none":
            raise ValueError("largest_component: for network.transform 'none' only; a deformed template has its parts")
        if self.refinement_steps and self.network.transform == "none":
            raise ValueError("refinement_steps: a U-Net has no transform to refine; remove the key")
        labels = self.data.labels or []
        if len(set(labels)) != len(labels):
            raise ValueError("data.labels: a label stands there twice; remove one")
        return self
