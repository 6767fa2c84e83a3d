"""What a template network must be told along with."""

from typing import Literal

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
    labels: tuple[int, ...]
    transform: Literal["global_local", "global", "local", "none"]
    diffeomorphic: bool
    topologies: tuple[Topology, ...]
    simulated: bool
    low_percentile: Percentile = 0.5
    high_percentile: Percentile = 99.5
    background: Background = "excluded"

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
