"""What a slice classifier must be told along with: how slices are made, and how volumes are decided."""

import dataclasses
import json

from app.errors import UserError
from app.files import write_json
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
        try:
            values = json.loads(path.read_text())
            decision = values.pop("decision")
            decision["classes"] = tuple(decision["classes"])
            return cls(decision=VolumeDecision(**decision), **values)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{path}: cannot be read ({' '.join(str(error).split())[:120]}); it belongs beside the model and tells "
                "how volumes are decided: copy both"
            ) from None
