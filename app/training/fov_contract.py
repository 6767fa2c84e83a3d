"""What a slice classifier must be told along with: how slices are made, and how volumes are decided."""

import dataclasses

from app.files import write_json
from app.training.contract import read_contract
from nets.classification.volume_decision import VolumeDecision


@dataclasses.dataclass(frozen=True)
class FovContract:
    """Kept beside the model.

    Args:
        size: Rows and columns of a slice.
        context: Neighbours on each side.
        decision: `VolumeDecision`, calibrated.
        simulated: Whether the model was trained on simulated volumes.
    """

    size: int
    context: int
    decision: VolumeDecision
    simulated: bool

    def write(self, path):
        """Write as JSON."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def read(cls, path):
        """Read what `write` wrote.

        Args:
            path: JSON file.

        Returns:
            `FovContract`.

        Raises:
            UserError: If it is missing or damaged.
        """
        return read_contract(path, _from_json, "how volumes are decided")


def _from_json(values):
    decision = {**values["decision"], "classes": tuple(values["decision"]["classes"])}
    return FovContract(**{**values, "decision": VolumeDecision(**decision)})
