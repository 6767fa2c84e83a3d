"""What a slice classifier must be told along with: how slices are made, and how volumes are decided."""

import dataclasses

from app.training.contract import KeptContract
from nets.classification.volume_decision import VolumeDecision


@dataclasses.dataclass(frozen=True)
class FovContract(KeptContract):
    """Kept beside the model.

    Args:
        size: Rows and columns of a slice.
        context: Neighbours on each side.
        decision: `VolumeDecision`, calibrated.
        simulated: Whether the model was trained on simulated volumes.
        low_percentile: See `IntensityRule`; the default is that of runs which do not say it.
        high_percentile: Likewise.
        background: Likewise.
    """

    size: int
    context: int
    decision: VolumeDecision
    simulated: bool
    low_percentile: float = 1.0
    high_percentile: float = 99.5
    background: str = "included"

    TELLS = "how volumes are decided"

    @classmethod
    def from_values(cls, values):
        decision = {**values["decision"], "classes": tuple(values["decision"]["classes"])}
        return cls(**{**values, "decision": VolumeDecision(**decision)})
