"""Config of the task `template`."""

from pathlib import Path
from typing import Literal

import pydantic

from app.config import Config, TaskConfig
from app.tasks.kidney_config import (
    CubeAugmentationConfig,
    CubeDataConfig,
    KidneyTrainingConfig,
    SegmentationNetworkConfig,
)


class TemplateShapeConfig(Config):
    """The template: read from a file, or built from training masks (see `segmentation.template`)."""

    file: Path | None = None
    kind: Literal["mean", "subject", "bank", "learned", "mask"] = "mean"
    mask: Path | None = None
    members: int = pydantic.Field(3, ge=2, le=16)
    subjects: int = pydantic.Field(30, ge=1, le=1_000_000)
    allow_parts: bool = False

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
    diffeomorphic: bool = True
    local_weight: float = pydantic.Field(0.01, ge=0, le=1e6)
    volume_weight: float = pydantic.Field(0.05, ge=0, le=1e6)
    pose_weight: float = pydantic.Field(0.3, ge=0, le=1e6)


class TemplateConfig(TaskConfig):
    """Config of the task."""

    task: Literal["template"] = "template"
    data: CubeDataConfig
    template: TemplateShapeConfig = TemplateShapeConfig()
    network: TemplateNetworkConfig = TemplateNetworkConfig()
    training: KidneyTrainingConfig = KidneyTrainingConfig()
    augmentation: CubeAugmentationConfig = CubeAugmentationConfig()
    refinement_steps: int = pydantic.Field(0, ge=0, le=500)
    largest_component: bool = False
    surface: Literal["gifti", "stl", "none"] = "gifti"

    @property
    def structures(self):
        """Values of the masks that make up each structure, as `app.data.mask_cohort.read_mask` takes them."""
        return self.data.labels and [[one] for one in self.data.labels]

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
