"""The voxels of a simulated body, into which its organs are painted."""

import numpy as np

TISSUES = (
    "air", "fat", "muscle", "bone", "marrow", "lung", "liver", "spleen", "kidney", "blood", "bowel", "fluid",
    "grey", "white", "disc", "gas",
)  # fmt: skip


TISSUE = {name: index for index, name in enumerate(TISSUES)}


class Grid:
    """Paints shapes on a grid, a box at a time."""

    def __init__(self, x, y, z, bend, rng):
        self.z = np.asarray(z, float)
        # A body is not a stack of ellipses: coordinates wave by some millimetres.
        wave = rng.uniform(0, 2 * np.pi, 6)
        x, y = np.asarray(x, float), np.asarray(y, float)
        along = self.z / 90.0
        self.x = x[:, None, None] + 3 * np.sin(y / 55 + wave[0])[None, :, None] * np.sin(along + wave[1]) + bend[0]
        self.y = y[None, :, None] + 3 * np.sin(x / 50 + wave[2])[:, None, None] * np.sin(along + wave[3]) + bend[1]
        self.up = self.z + 2 * np.sin(x / 45 + wave[4])[:, None, None] * np.ones((1, len(y), 1))
        self.tissue = np.zeros((len(x), len(y), len(self.z)), "uint8")

    def paint(self, centre, radii, tissue, only=None, between=(-np.inf, np.inf), wave=0.0, ribs=None):
        """An ellipsoid."""
        near = np.flatnonzero(
            (np.abs(self.z - centre[2]) <= radii[2] + 4) & (self.z < between[1]) & (self.z >= between[0])
        )
        if not len(near) or min(radii) <= 0:
            return
        part = slice(near[0], near[-1] + 1)
        x, y, z = self.x[..., part], self.y[..., part], self.up[..., part]
        distance = (
            ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 + ((z - centre[2]) / radii[2]) ** 2
        )
        if wave:
            distance = distance + 0.012 * wave * np.sin(x / 4) * np.sin(y / 5 + z / 6)
        inside = distance < 1
        if ribs:
            inside &= ((z - 0.35 * y) / ribs) % 1.0 < 0.5
        self._put(inside, part, tissue, only)

    def paint_columns(self, x, y, width, depth, tissue, power=2.0):
        """An ellipse in every slice, of its own middle and size."""
        width, depth = np.broadcast_to(width, self.z.shape), np.broadcast_to(depth, self.z.shape)
        near = np.flatnonzero((width > 0) & (depth > 0))
        if not len(near):
            return
        part = slice(near[0], near[-1] + 1)
        width, depth = np.maximum(width[part], 1e-3), np.maximum(depth[part], 1e-3)
        x, y = np.broadcast_to(x, self.z.shape)[part], np.broadcast_to(y, self.z.shape)[part]
        distance = np.abs((self.x[..., part] - x) / width) ** power + np.abs((self.y[..., part] - y) / depth) ** power
        self._put(distance < 1, part, tissue, None)

    def _put(self, inside, part, tissue, only):
        view = self.tissue[..., part]
        if only is not None:
            inside = inside & np.isin(view, [TISSUE[name] for name in only])
        view[inside] = TISSUE[tissue]
