"""What a segmentation network must be told along with: on which cube it sees, and where it comes from."""

from typing import Literal

from pydantic.dataclasses import dataclass

from app.training.contract import CHECKED, Background, KeptContract, Millimetres, Percentile, Size
from transfer.strategies import STRATEGIES


@dataclass(frozen=True, config=CHECKED)
class KidneyContract(KeptContract):
    """Kept beside the model.

    Args:
        size: Voxels along each axis of the cube.
        spacing_mm: Of the cube.
        strategy: How the network was trained, see `transfer.strategies`.
        simulated: Whether the network was trained on simulated volumes.
        low_percentile: See `IntensityRule`; the default is that of runs which do not say it.
        high_percentile: Likewise.
        background: Likewise.
    """

    size: Size
    spacing_mm: Millimetres
    strategy: Literal[tuple(STRATEGIES)]
    simulated: bool
    low_percentile: Percentile = 0.5
    high_percentile: Percentile = 99.5
    background: Background = "excluded"

    def misfit(self, name, config):
        """See `KeptContract.misfit`."""
        if name not in ("SegmentationUNet", "AdaptedUNet") or config.get("structures", 1) != 1:
            return "tells of a network that segments kidneys"
        if self.size % 2 ** (len(config["filters"]) - 1):
            return (
                f"tells of cubes of {self.size} voxels, which a network of {len(config['filters'])} levels cannot halve"
            )
        return None

    TELLS = "on which cube it sees"
