"""What is kept beside a template network: which template it deforms, on which cube."""

from typing import Annotated, ClassVar, Literal

import pydantic
from pydantic.dataclasses import dataclass

from app.systems.contract import KEPT, Contract, Millimetres, Size
from segmentation.topology import WHOLE, Topology


@dataclass(**KEPT)
class TemplateContract(Contract):
    """Kept beside the model, see `Contract`.

    Args:
        size: Voxels along each axis of the cube.
        spacing_mm: Of the cube.
        labels: Value of each structure in masks.
        transform: "global_local", "global", "local", or "none" for a U-Net.
        diffeomorphic: Whether the local field is the flow of a velocity; less of it is taken where it folds.
        topologies: `Topology` of each structure of the template and, of several, of all together.
    """

    SYSTEM: ClassVar[str] = "template"
    SAYS: ClassVar[str] = "which template it deforms, on which cube"

    size: Size
    spacing_mm: Millimetres
    labels: Annotated[tuple[Annotated[int, pydantic.Field(ge=1, le=65535)], ...], pydantic.Field(min_length=1)]
    transform: Literal["global_local", "global", "local", "none"]
    diffeomorphic: bool
    topologies: tuple[Topology, ...]

    @pydantic.model_validator(mode="after")
    def _fits_itself(self):
        count = len(self.labels)
        if len(set(self.labels)) < count or count > 1000:
            raise ValueError("labels: different values are expected")
        if len(self.topologies) != count + (count > 1):
            raise ValueError("topologies: one of each label is expected and, of several, one of all together")
        numbers = [number for shape in self.topologies for number in (shape.components, shape.tunnels, shape.cavities)]
        if not all(0 <= number < 10**6 for number in numbers):
            raise ValueError("topologies: numbers of parts, tunnels and cavities are expected")
        return self

    def misfit(self, name, config):
        """See `Contract.misfit`."""
        if self.transform == "none":
            fits = name == "SegmentationUNet" and config.get("structures") == len(self.labels)
        else:
            expected = {"size": self.size, "transform": self.transform, "structures": len(self.labels)}
            fits = name == "TemplateNetwork" and all(config.get(key) == value for key, value in expected.items())
        return None if fits else f"says transform {self.transform}, {len(self.labels)} labels and {self.size} voxels"

    def has_topology(self, topologies):
        """Whether a mask has the template's topology.

        That of each structure and, where in the template they are one whole, of all together. Where they are not,
        they leave gaps, and how wide these are against the voxels decides what is counted.

        Args:
            topologies: As the contract's, of the mask.

        Returns:
            Bool.
        """
        compared = None if self.topologies[-1] == WHOLE else len(self.labels)
        return topologies[:compared] == self.topologies[:compared]
