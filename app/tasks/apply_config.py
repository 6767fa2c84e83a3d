"""Config of the task `apply`."""

from pathlib import Path
from typing import Annotated, Literal

import pydantic

from app.cluster_config import ClusterConfig
from app.config import Config, NanRule, TaskConfig
from app.transforms.kinds import Kind


class TransformConfig(Config):
    """One transform of a list; a path alone stands for its `file`."""

    file: Path
    """Any transform or displacement field: see the page on `apply`."""
    kind: Kind | None = None
    """Convention of the file, where it does not say it: of displacements "itk" (LPS millimetres), "ras" (RAS
    millimetres) or "voxel"; of a text of numbers "fsl" or "matrix" (RAS millimetres)."""
    inverse: bool = False
    """Whether it is applied backwards."""
    moving: Path | None = None
    """Image that FSL's matrix begins at (-in)."""
    fixed: Path | None = None
    """Image that FSL's matrix ends at (-ref), or on whose grid B-splines are sampled."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _of_path(cls, value):
        return {"file": value} if isinstance(value, str | Path) else value


OF_ONE = ("transforms", "reference", "images", "labels", "points", "surfaces")
Files = Annotated[list[Path], pydantic.Field(max_length=10_000)]


class ApplyConfig(TaskConfig):
    """Config of the task: transforms, and what they move."""

    output: Path = pydantic.Field(Path("runs/apply"), validate_default=True)
    """Folder for everything that is written."""
    task: Literal["apply"] = "apply"
    """Name of the task."""
    transforms: list[TransformConfig] = pydantic.Field([], max_length=100)
    """Transforms in the order in which they move an image, the first first; one alone needs no list, none only
    resamples."""
    reference: Path | None = None
    """Image whose grid the results have; by default that of the last displacement field, else of
    the first image."""
    images: Files = []
    """Images that are moved, those of many frames frame by frame."""
    labels: Files = []
    """Label maps that are moved."""
    points: Files = []
    """Points of the moving image (.csv, .tsv, .mrk.json, .fcsv), which go where their image goes."""
    surfaces: Files = []
    """Surfaces of the moving image (.gii, .stl, FreeSurfer), which go where their image goes."""
    interpolation: Literal["linear", "cubic"] = "linear"
    """How images are read between their voxels."""
    label_interpolation: Literal["nearest", "linear"] = "nearest"
    """How label maps are: the nearest voxel's label, or that of the largest interpolated share."""
    names: Literal["plain", "bids"] = "plain"
    """How moved images and label maps are called: as they were, or as derivatives of BIDS with a JSON beside each."""
    composite: str | None = None
    """Name of a file in the output folder for all transforms as one: .nii.gz, .mgz, .npz (a displacement on the grid of
    the results), .h5 (ITK, as they are), .tfm, .txt, .lta (linear ones), .dcm (of images of DICOM)."""
    pairs: Path | None = None
    """Manifest of pairs in place of one list: a CSV with the columns moving, fixed and transforms (files joined by
    ";"), and perhaps moving_labels and moving_points; each is moved onto the fixed image's grid."""
    kind: Kind | None = None
    """Convention of those transforms of `pairs` that do not say it themselves."""
    cluster: ClusterConfig = ClusterConfig()
    """Where the pairs of a manifest are worked on."""
    nan: NanRule = "refuse"
    """What is done with voxels that are NaN: refused, or read as 0 and counted in a line."""

    @pydantic.field_validator("transforms", "images", "labels", "points", "surfaces", mode="before")
    @classmethod
    def _one_is_a_list(cls, value):
        return [value] if isinstance(value, str | Path | dict) else value

    @pydantic.field_validator("composite")
    @classmethod
    def _a_name(cls, value):
        if value is not None and (Path(value).name != value or value.startswith(".")):
            raise ValueError("give the name of a file, without its folder: it is written into output")
        return value

    @pydantic.model_validator(mode="after")
    def _something_to_do(self):
        if self.pairs is not None:
            for name in OF_ONE:
                if getattr(self, name):
                    raise ValueError(f"{name}: stands in the manifest of pairs; leave out {name}, or pairs")
            return self
        if self.names == "bids" and self.reference is None:
            raise ValueError("reference: missing; names: bids names its space")
        for name in ("kind", "cluster"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: belongs to pairs; a transform of the list has its own `kind`")
        if not (self.images or self.labels or self.points or self.surfaces or self.composite):
            raise ValueError("images: missing; give images, labels, points, surfaces or composite, or pairs")
        if not self.transforms and (self.reference is None or self.points or self.surfaces):
            raise ValueError("transforms: none given; name at least one, or a reference to resample images to")
        return self
