"""What a template network must be told along with."""

from typing import Annotated, Literal

import pydantic
from pydantic.dataclasses import dataclass

from app.training.contract import CHECKED, Background, KeptContract, Millimetres, Percentile, Size
from segmentation.topology import WHOLE, Topology


@dataclass(frozen=True, config=CHECKED)
class TemplateContract(KeptContract):
    """Kept beside the model.

    Args:
        size: Voxels along each axis of the cube.
        spacing_mm: Of the cube.
        labels: Value of each structure in masks.
        transform: "global_local", "global", "local", or "none" for a U-Net.
        diffeomorphic: Whether the local field is the flow of a velocity; less of it is taken where it folds.
        topologies: `Topology` of each structure of the template and, of several, of all together.
        simulated: Whether the network was trained on simulated volumes.
        low_percentile: See `IntensityRule`; the default is that of runs which do not say it.
        high_percentile: Likewise.
        background: Likewise.
    """

    size: Size
    spacing_mm: Millimetres
    labels: Annotated[tuple[Annotated[int, pydantic.Field(ge=1, le=65535)], ...], pydantic.Field(min_length=1)]
    transform: Literal["global_local", "global", "local", "none"]
    diffeomorphic: bool
    topologies: tuple[Topology, ...]
    simulated: bool
    low_percentile: Percentile = 0.5
    high_percentile: Percentile = 99.5
    background: Background = "excluded"

    @pydantic.model_validator(mode="after")
    def _fits_itself(self):
        count = len(self.labels)
        if len(set(self.labels)) < count or count > 1000:
            raise ValueError("labels: different values are expected")
        if len(self.topologies) != count + (count > 1):
            raise ValueError("topologies: one of each label is expected and, of several, one of all together")
        numbers = [number for one in self.topologies for number in (one.components, one.tunnels, one.cavities)]
        if not all(0 <= number < 10**6 for number in numbers):
            raise ValueError("topologies: numbers of parts, tunnels and cavities are expected")
        return self

    def misfit(self, name, config):
        """See `KeptContract.misfit`."""
        if self.transform == "none":
            fits = name == "SegmentationUNet" and config.get("structures") == len(self.labels)
        else:
            wanted = {"size": self.size, "transform": self.transform, "structures": len(self.labels)}
            fits = name == "TemplateNetwork" and all(config.get(key) == value for key, value in wanted.items())
        return (
            None if fits else f"tells of transform {self.transform}, {len(self.labels)} labels and {self.size} voxels"
        )

    TELLS = "which template it deforms, on which cube"

    def has_topology(self, found):
        """Whether a mask has the template's topology.

        That of each structure and, where in the template they are one whole, of all together. Where they are not,
        they leave gaps, and how wide these are against the voxels decides what is counted.

        Args:
            found: As `topologies`, of the mask.

        Returns:
            Bool.
        """
        compared = None if self.topologies[-1] == WHOLE else len(self.labels)
        return found[:compared] == self.topologies[:compared]
