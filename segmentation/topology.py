"""Topology of a mask: parts, tunnels, cavities."""

import dataclasses

import numpy as np
from scipy.ndimage import find_objects, label
from skimage.measure import euler_number


@dataclasses.dataclass(frozen=True)
class Topology:
    """Betti numbers of a mask, its voxels closed cubes that touch at corners.

    Args:
        components: Parts.
        tunnels: Holes one can reach through.
        cavities: Hollows that are closed on all sides.
    """

    components: int
    tunnels: int
    cavities: int

    @property
    def euler(self):
        """Euler number: `components - tunnels + cavities`."""
        return self.components - self.tunnels + self.cavities

    def __str__(self):
        return f"{self.components} parts, {self.tunnels} tunnels, {self.cavities} cavities"


WHOLE = Topology(components=1, tunnels=0, cavities=0)


def topology(mask):
    """Betti numbers of a mask.

    Parts are counted with 26 neighbours, cavities with 6 (the background's, the outside not counted), and tunnels
    follow from the Euler number.

    Args:
        mask: `(i, j, k)`, bool.

    Returns:
        `Topology`.

    Raises:
        ValueError: If the mask has not three axes.
    """
    if np.ndim(mask) != 3:
        raise ValueError(f"Expected a mask (i, j, k). Received: shape={np.shape(mask)}")
    mask = np.asarray(mask, bool)
    box = find_objects(mask.view("uint8"))
    mask = np.pad(mask[box[0]] if box else mask, 1)
    components = int(label(mask, np.ones((3, 3, 3)))[1])
    cavities = int(label(~mask)[1]) - 1
    tunnels = components + cavities - int(euler_number(mask, connectivity=3))
    return Topology(components, tunnels, cavities)
