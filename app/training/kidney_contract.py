"""What a segmentation network must be told along with: on which cube it sees, and where it comes from."""

import dataclasses

from app.files import write_json
from app.training.contract import read_contract


@dataclasses.dataclass(frozen=True)
class KidneyContract:
    """Kept beside the model.

    Args:
        size: Voxels along each axis of the cube.
        spacing_mm: Of the cube.
        strategy: How the network was trained, see `transfer.strategies`.
        largest_component: Whether only the largest part of a mask is kept.
        simulated: Whether the network was trained on simulated volumes.
    """

    size: int
    spacing_mm: float
    strategy: str
    largest_component: bool
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
            `KidneyContract`.

        Raises:
            UserError: If it is missing or damaged.
        """
        return read_contract(path, lambda values: cls(**values), "on which cube it sees")
