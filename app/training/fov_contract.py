"""What a slice classifier must be told along with: how slices are made, and how volumes are decided."""

from typing import Annotated

import pydantic
from pydantic.dataclasses import dataclass

from app.training.contract import CHECKED, Background, KeptContract, Percentile, Size
from nets.classification.volume_decision import VolumeDecision


@dataclass(frozen=True, config=CHECKED)
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

    size: Size
    context: Annotated[int, pydantic.Field(ge=0, le=16)]
    decision: VolumeDecision
    simulated: bool
    low_percentile: Percentile = 1.0
    high_percentile: Percentile = 99.5
    background: Background = "included"

    TELLS = "how volumes are decided"
