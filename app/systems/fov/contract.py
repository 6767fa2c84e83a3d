"""What is kept beside a slice classifier: how slices are made, and how volumes are decided."""

from typing import Annotated, ClassVar

import pydantic
from pydantic.dataclasses import dataclass

from app.systems.contract import KEPT, Contract, Size
from nets.classification.volume_decision import VolumeDecision


@dataclass(**KEPT)
class FovContract(Contract):
    """Kept beside the model, see `Contract`.

    Args:
        size: Rows and columns of a slice.
        context: Neighbours on each side.
        decision: `VolumeDecision`, calibrated.
    """

    SYSTEM: ClassVar[str] = "fov"
    SAYS: ClassVar[str] = "how volumes are decided"
    BEFORE: ClassVar[dict] = {"low_percentile": 1.0, "high_percentile": 99.5, "background": "included"}

    size: Size
    context: Annotated[int, pydantic.Field(ge=0, le=16)]
    decision: VolumeDecision

    @pydantic.model_validator(mode="after")
    def _decides(self):
        decision = self.decision
        names, share = decision.classes, decision.interval_share
        if (
            not 3 <= len(names) <= 256
            or len(set(names)) < len(names)
            or not all(isinstance(name, str) for name in names)
        ):
            raise ValueError("decision.classes: three or more different names are expected")
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
        """See `Contract.misfit`."""
        expected = {"size": self.size, "channels": 2 * self.context + 1, "classes": len(self.decision.classes)}
        if name != "SliceClassifier" or any(config.get(key) != value for key, value in expected.items()):
            return f"says that it belongs to a SliceClassifier of {expected}"
        return None
