"""A simulated body: which tissue is where, from the soles to the top of the head."""

import dataclasses

import numpy as np
from scipy.interpolate import PchipInterpolator

from app.data.phantoms.body_grid import Grid

REGIONS = ("legs", "pelvis", "abdomen", "chest", "head")
# Heights as shares of the whole: crotch, top of the iliac bones, dome of the diaphragm, top of the lungs.
BOUNDARIES = {"crotch": 0.47, "crest": 0.585, "dome": 0.70, "apex": 0.825}
# Half width and half depth in mm of a man of 1.75 m.
OUTLINE = np.array([
    (0.44, 170, 95), (0.47, 178, 112), (0.52, 180, 118), (0.585, 152, 106), (0.64, 146, 104), (0.70, 152, 110),
    (0.76, 166, 114), (0.80, 185, 98), (0.825, 130, 74), (0.845, 62, 60), (0.865, 60, 66), (0.88, 66, 88),
    (0.93, 76, 98), (0.97, 70, 90), (0.99, 46, 60), (1.0, 12, 16),
])  # fmt: skip
# Height, distance from the middle, radius of a leg; height and radius of its bones.
LEG = np.array([
    (0.0, 80, 30), (0.045, 76, 38), (0.12, 74, 50), (0.2, 74, 58), (0.27, 78, 60), (0.36, 86, 74), (0.47, 92, 88),
])  # fmt: skip


@dataclasses.dataclass
class Body:
    """One person's proportions, drawn at random.

    Args:
        rng: `numpy.random.Generator`.

    Attributes:
        female: Sex.
        height: In mm.
        heights: Dict from boundary to its height above the soles in mm.
    """

    rng: np.random.Generator

    def __post_init__(self):
        rng = self.rng
        self.female = bool(rng.random() < 0.5)
        self.height = float(np.clip(rng.normal(1640 if self.female else 1760, 80), 1350, 2000))
        self.size = self.height / 1750
        self.girth = float(np.exp(rng.normal(0.0, 0.14)))
        self.fat = float(rng.uniform(6, 24) * self.girth)
        shift = {name: rng.normal(0, 0.008) for name in BOUNDARIES}
        self.shares = {name: share + shift[name] for name, share in BOUNDARIES.items()}
        self.heights = {name: share * self.height for name, share in self.shares.items()}
        self.seeds = rng.integers(2**32, size=8)
        self.arms = bool(rng.random() < 0.6)
        self._bend = rng.normal(0, 5, (3, 4))

    def regions(self):
        """Where each region is.

        Returns:
            Dict from region to its lowest and highest height in mm.
        """
        edges = [0.0, *(self.heights[name] for name in BOUNDARIES), self.height]
        return {name: (edges[index], edges[index + 1]) for index, name in enumerate(REGIONS)}

    def outline(self, heights):
        """Half width and half depth of the trunk, neck or head.

        Args:
            heights: Array in mm.

        Returns:
            Two arrays in mm; 0 where there is none.
        """
        share = self._standard(heights)
        width, depth = (PchipInterpolator(OUTLINE[:, 0], OUTLINE[:, column])(share) for column in (1, 2))
        trunk = np.interp(share, [0.44, 0.83, 0.85], [self.girth, self.girth, 0.5 + 0.5 * self.girth])
        hips = 1.0 + (0.06 if self.female else -0.02) * np.exp(-(((share - 0.52) / 0.05) ** 2))
        there = (share > 0.455) & (share < 1.0)
        return there * width * trunk * hips * self.size, there * depth * trunk * self.size

    def tissues(self, x, y, z):
        """Tissue at every point of a grid.

        Args:
            x, y, z: Increasing or decreasing arrays in mm: to the right, to the front, above the soles; x and y
                from the body's middle.

        Returns:
            Array `(len(x), len(y), len(z))`, uint8, of indices into `TISSUES`.
        """
        rng = np.random.default_rng(self.seeds)
        bend = [np.polyval(row, np.asarray(z) / self.height - 0.5) for row in self._bend]
        grid = Grid(x, y, z, bend, rng)
        self._trunk(grid)
        self._legs(grid)
        if self.arms:
            self._arms(grid)
        self._pelvis(grid)
        self._abdomen(grid, rng)
        self._chest(grid)
        self._spine(grid)
        self._head(grid)
        return grid.tissue

    def _standard(self, heights):
        """Heights as shares of a standard body: its boundaries where this one's are."""
        own = [0.0, *self.heights.values(), self.height]
        return np.interp(heights, own, [0.0, *BOUNDARIES.values(), 1.0], left=-0.1, right=1.1)

    def _at(self, share):
        """Height in mm of a place of the standard body."""
        return float(np.interp(share, [0.0, *BOUNDARIES.values(), 1.0], [0.0, *self.heights.values(), self.height]))

    def _trunk(self, grid):
        width, depth = self.outline(grid.z)
        for shrink, tissue in ((0.0, "fat"), (self.fat, "muscle")):
            thin = np.where(self._standard(grid.z) > 0.83, 0.4 * shrink, shrink)
            grid.paint_columns(0.0, 0.0, width - thin, depth - thin, tissue, power=2.6)
        if self.female:
            for side in (-1, 1):
                centre = (side * 0.45 * width.max(), 0.95 * 112 * self.size * self.girth, self._at(0.755))
                grid.paint(centre, np.array([62, 42, 55]) * self.size, "fat", only=("air",))

    def _legs(self, grid):
        share = np.clip(self._standard(grid.z), 0.0, 1.0)
        there = (share < 0.47) & (share > 0.0)
        apart, radius = (np.interp(share, LEG[:, 0], LEG[:, column]) * self.size for column in (1, 2))
        radius = radius * (0.6 + 0.4 * self.girth) * there
        bone = np.interp(share, [0.0, 0.05, 0.1, 0.25, 0.27, 0.3, 0.35, 0.47], [14, 20, 13, 24, 36, 30, 15, 16])
        bone = bone * self.size * there
        foot = np.interp(share, [0.0, 0.035, 0.05], [85, 60, 0]) * self.size * there
        for side in (-1, 1):
            grid.paint_columns(side * apart, 25 * (foot > 0), radius, radius + foot, "fat")
            inner = np.maximum(radius - 0.55 * self.fat * (share > 0.1) - 3 * there, 0)
            grid.paint_columns(side * apart, 25 * (foot > 0), inner, inner + foot, "muscle")
            grid.paint_columns(side * apart, 0.15 * radius, bone, bone, "bone")
            grid.paint_columns(side * apart, 0.15 * radius, 0.65 * bone, 0.65 * bone, "marrow")
            fibula = there * (share > 0.05) * (share < 0.25) * 8 * self.size
            grid.paint_columns(side * (apart + 0.45 * radius), -0.2 * radius, fibula, fibula, "bone")
            knee = (side * np.interp(0.275, LEG[:, 0], LEG[:, 1]) * self.size, 46 * self.size, self._at(0.275))
            grid.paint(knee, np.array([20, 10, 22]) * self.size, "marrow")

    def _arms(self, grid):
        share = self._standard(grid.z)
        there = (share > 0.44) & (share < 0.80)
        out = np.interp(share, [0.44, 0.6, 0.72, 0.80], [235, 228, 215, 195]) * self.size * (0.5 + 0.5 * self.girth)
        radius = np.interp(share, [0.44, 0.5, 0.6, 0.72, 0.8], [26, 28, 38, 46, 50]) * self.size * there
        for side in (-1, 1):
            for shrink, tissue in ((1.0, "fat"), (0.85, "muscle"), (0.28, "bone"), (0.18, "marrow")):
                grid.paint_columns(side * out, 0.0, shrink * radius, shrink * radius, tissue)

    def _pelvis(self, grid):
        wide = (1.06 if self.female else 1.0) * self.size
        top, hip = self.heights["crest"], self._at(0.515)
        for side in (-1, 1):
            # A wing is the shell between two ellipsoids; nothing of it rises above the crest.
            middle = (side * 78 * wide, -18 * self.size, 0.5 * (top + hip) + 8)
            radii = np.array([58 * wide, 62 * self.size, 0.5 * (top - hip) + 32])
            grid.paint(middle, radii, "bone", between=(-np.inf, top))
            grid.paint(middle, radii - 7, "marrow", between=(-np.inf, top))
            grid.paint(
                (side * 62 * wide, 4 * self.size, middle[2] + 6),
                radii * [0.86, 1.0, 1.0] - 4,
                "muscle",
                between=(-np.inf, top),
            )
            grid.paint((side * 92 * wide, 8, hip), np.full(3, 27 * self.size), "bone")
            grid.paint((side * 92 * wide, 8, hip), np.full(3, 23 * self.size), "marrow")
            grid.paint((side * 72 * wide, -8, self._at(0.485)), np.array([16, 22, 26]) * self.size, "bone")
            grid.paint((side * 108 * wide, -5, hip - 22), np.array([24, 20, 24]) * self.size, "marrow")
        grid.paint((0, 40 * self.size, self._at(0.50)), np.array([34, 13, 16]) * self.size, "bone")
        full = np.exp(self.rng.normal(0, 0.25))
        grid.paint((0, 22 * self.size, self._at(0.522)), np.array([38, 34, 32]) * self.size * full, "fluid")
        grid.paint((0, -38 * self.size, self._at(0.52)), np.array([18, 20, 55]) * self.size, "bowel")
        if self.female:
            grid.paint((0, -8 * self.size, self._at(0.54)), np.array([28, 24, 26]) * self.size, "kidney")
        else:
            grid.paint((0, 12 * self.size, self._at(0.495)), np.array([22, 19, 18]) * self.size, "spleen")

    def _abdomen(self, grid, rng):
        size, dome = self.size, self.heights["dome"]
        low, high = self._at(0.545), dome - 30 * size
        for _ in range(26):  # loops of bowel, some with gas
            centre = (rng.uniform(-95, 95) * size, rng.uniform(-10, 70) * size, rng.uniform(low, high))
            radii = rng.uniform(14, 30, 3) * size
            grid.paint(centre, radii, "bowel", only=("muscle", "bowel"))
            if rng.random() < 0.3:
                grid.paint(centre, 0.55 * radii, "gas", only=("bowel",))
        for side in (-1, 1):
            kidney = (side * 62 * size, -45 * size, self._at(0.645) - (6 if side > 0 else 0))
            grid.paint(kidney, np.array([38, 36, 66]) * size, "fat", only=("muscle", "bowel"))
            grid.paint(kidney, np.array([27, 24, 54]) * size, "kidney")
            grid.paint(kidney, np.array([9, 9, 24]) * size, "fat", only=("kidney",))
            psoas = (side * 40 * size, -42 * size, self._at(0.575))
            grid.paint(psoas, np.array([20, 20, 95]) * size, "muscle", only=("bowel", "fat"))
        liver = np.array([88, 82, 92]) * size * self.girth**0.5
        grid.paint((52 * size, 8 * size, dome - liver[2]), liver, "liver", only=("muscle", "bowel", "gas"))
        grid.paint(
            (-72 * size, -28 * size, dome - 62 * size),
            np.array([30, 45, 48]) * size,
            "spleen",
            only=("muscle", "bowel"),
        )
        stomach = (-45 * size, 34 * size, dome - 58 * size)
        grid.paint(stomach, np.array([46, 40, 50]) * size, "fluid", only=("muscle", "bowel"))
        grid.paint(
            (stomach[0], stomach[1] + 14 * size, stomach[2]), np.array([32, 22, 34]) * size, "gas", only=("fluid",)
        )
        for x, radius in ((-8, 11), (20, 12)):
            middle = (x * size, -38 * size, 0.5 * (self._at(0.57) + dome))
            soft = ("muscle", "bowel", "fat", "liver")
            grid.paint(middle, np.array([radius, radius, 190]) * size, "blood", only=soft)

    def _chest(self, grid):
        size, dome, apex = self.size, self.heights["dome"], self.heights["apex"]
        girth = self.girth**0.5
        for side in (-1, 1):
            # From the recess beside the diaphragm to the apex; the dome is cut out by the liver and the spleen.
            base = dome - 55 * size
            middle = (side * 68 * size * girth, -5 * size, base + 0.42 * (apex - base))
            radii = np.array([64 * size * girth, 84 * size * girth, 0.58 * (apex - base)])
            grid.paint(middle, radii + [9, 9, 0], "bone", only=("muscle",), ribs=22 * size, between=(base, apex))
            grid.paint(middle, radii, "lung", only=("muscle", "bone", "bowel"), between=(base, apex))
            grid.paint((side * 165 * size, -5, self._at(0.80)), np.full(3, 25 * size), "marrow")
            grid.paint((side * 105 * size, -72 * size * girth, self._at(0.775)), np.array([46, 6, 60]) * size, "bone")
            collar = (side * 75 * size, 35 * size, self._at(0.818))
            grid.paint(collar, np.array([75, 8, 7]) * size, "bone")
        heart = (-22 * size, 22 * size, dome + 48 * size)
        grid.paint(heart, np.array([56, 48, 54]) * size, "muscle")
        grid.paint(heart, np.array([44, 37, 43]) * size, "blood")
        grid.paint((0, 12 * size, self._at(0.79)), np.array([30, 34, 55]) * size, "fat", only=("lung",))
        grid.paint(
            (-14 * size, -30 * size, self._at(0.75)),
            np.array([13, 13, 150]) * size,
            "blood",
            only=("lung", "muscle", "fat"),
            between=(dome, np.inf),
        )
        grid.paint((0, 12 * size, self._at(0.80)), np.array([16, 16, 45]) * size, "blood")
        grid.paint((0, 88 * size * girth, self._at(0.765)), np.array([17, 8, 80]) * size, "marrow")

    def _spine(self, grid):
        size = self.size
        share = self._standard(grid.z)
        there = (share > 0.53) & (share < 0.885)
        back = (
            -np.interp(share, [0.53, 0.57, 0.62, 0.70, 0.76, 0.82, 0.86, 0.885], [68, 62, 52, 60, 74, 55, 28, 24])
            * size
        )
        radius = np.interp(share, [0.53, 0.6, 0.7, 0.82, 0.885], [26, 24, 20, 14, 11]) * size * there
        body = np.interp(share, [0.53, 0.6, 0.7, 0.82, 0.885], [36, 34, 27, 20, 17]) * size
        phase = np.cumsum(np.abs(np.gradient(grid.z)) / body) % 1.0
        disc = phase < 0.22
        for bone, inner in ((1.0, "bone"), (0.86, "marrow")):
            grid.paint_columns(0.0, back, bone * radius * ~disc, 0.8 * bone * radius * ~disc, inner)
        grid.paint_columns(0.0, back, radius * disc, 0.8 * radius * disc, "disc")
        arch = back - 1.35 * radius
        grid.paint_columns(0.0, arch, 0.85 * radius, 0.75 * radius, "bone")
        grid.paint_columns(0.0, arch + 2 * size, 9 * size * there, 8.5 * size * there, "fluid")
        grid.paint_columns(0.0, arch + 2 * size, 5 * size * there * (share > 0.66), 4 * size * there, "white")
        grid.paint_columns(0.0, arch - radius, 4 * size * there * ~disc, 0.9 * radius * ~disc, "bone")
        for side in (-1, 1):
            grid.paint_columns(side * 1.5 * radius, arch + 2, 0.6 * radius * ~disc, 0.3 * radius * ~disc, "bone")

    def _head(self, grid):
        size, top = self.size, self.height
        skull = (0, 0, top - 84 * size)
        radii = np.array([74, 94, 80]) * size
        chin = self._at(0.885)
        grid.paint(skull, radii - 4, "bone", between=(chin, np.inf))
        grid.paint(skull, radii - 11, "fluid", between=(chin, np.inf))
        rng = np.random.default_rng(self.seeds[:2])
        for side in (-1, 1):
            half = (side * 31 * size, 0, skull[2] + 6)
            brain = np.array([31, 78, 60]) * size
            grid.paint(half, brain, "grey")
            grid.paint(half, brain - [9, 14, 13], "white", wave=5 * size)
            grid.paint(
                (side * 12 * size, 4, skull[2] + 8), np.array([7, 30, 14]) * size * rng.uniform(0.7, 1.4), "fluid"
            )
            grid.paint((side * 20 * size, 0, skull[2] - 4), np.array([9, 18, 11]) * size, "grey")
            grid.paint((side * 24 * size, -46 * size, skull[2] - 52 * size), np.array([24, 24, 20]) * size, "grey")
            grid.paint((side * 32 * size, 78 * size, skull[2] - 38 * size), np.full(3, 12 * size), "fluid")
            grid.paint((side * 24 * size, 66 * size, skull[2] - 70 * size), np.array([15, 17, 17]) * size, "gas")
        grid.paint((0, -12 * size, skull[2] - 55 * size), np.array([14, 13, 38]) * size, "white")
        grid.paint((0, 66 * size, skull[2] - 55 * size), np.array([7, 20, 34]) * size, "gas")
        jaw = self._at(0.882)
        grid.paint((0, 34 * size, jaw + 8), np.array([44, 46, 22]) * size, "bone", only=("muscle", "fat"))
        grid.paint((0, 30 * size, jaw + 14), np.array([32, 40, 24]) * size, "muscle")
        low = self._at(0.79)
        grid.paint((0, 12 * size, 0.5 * (low + jaw)), np.array([9, 8, 0.55 * (jaw - low) / size]) * size, "gas")
