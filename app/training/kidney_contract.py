"""What a segmentation network must be told along with: on which cube it sees, and where it comes from."""

import dataclasses

from app.training.contract import KeptContract


@dataclasses.dataclass(frozen=True)
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

    size: int
    spacing_mm: float
    strategy: str
    simulated: bool
    low_percentile: float = 0.5
    high_percentile: float = 99.5
    background: str = "excluded"

    TELLS = "on which cube it sees"
