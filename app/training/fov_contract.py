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

    @pydantic.model_validator(mode="after")
    def _decides(self):
        decision = self.decision
        names = decision.classes
        if not 3 <= len(names) <= 256 or len(set(names)) < len(names) or not all(isinstance(one, str) for one in names):
            raise ValueError("decision.classes: three or more different names are expected")
        share = decision.interval_share
        for key, value, low, high in (
            ("temperature", decision.temperature, 1e-3, 1e3),
            ("sharpness", decision.sharpness, 1e-4, 10),
            ("least_mm", decision.least_mm, 0, 1e4),
            ("skip", decision.skip, 0, 1e6),
            ("slope", decision.slope, -1e6, 1e6),
            ("shift", decision.shift, -1e6, 1e6),
            ("interval_share", 0 if share is None else share, 0, 1),
        ):
            if not low <= value <= high:
                raise ValueError(f"decision.{key}: {value:g} is not from {low:g} to {high:g}")
        return self

    def misfit(self, name, config):
        """See `KeptContract.misfit`."""
        told = {"size": self.size, "channels": 2 * self.context + 1, "classes": len(self.decision.classes)}
        if name != "SliceClassifier" or any(config.get(key) != value for key, value in told.items()):
            return f"tells of a SliceClassifier of {told}"
        return None

    TELLS = "how volumes are decided"
