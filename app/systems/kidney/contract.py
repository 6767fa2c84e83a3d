"""What is kept beside a segmentation network: on which cube it sees, and how it was trained."""

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from app.systems.contract import KEPT, Contract, Millimetres, Size
from transfer.strategy import STRATEGIES


@dataclass(**KEPT)
class KidneyContract(Contract):
    """Kept beside the model, see `Contract`.

    Args:
        size: Voxels along each axis of the cube.
        spacing_mm: Of the cube.
        strategy: How the network was trained, see `transfer.strategy`.
    """

    SYSTEM: ClassVar[str] = "kidney"
    SAYS: ClassVar[str] = "on which cube it sees"

    size: Size
    spacing_mm: Millimetres
    strategy: Literal[tuple(STRATEGIES)]

    def misfit(self, name, config):
        """See `Contract.misfit`."""
        if name not in ("SegmentationUNet", "AdaptedUNet") or config.get("structures", 1) != 1:
            return "says that it belongs to a network that segments kidneys"
        if self.size % 2 ** (len(config["filters"]) - 1):
            return f"says cubes of {self.size} voxels, which a network of {len(config['filters'])} levels cannot halve"
        return None
