"""Simulated kidneys: shapes fitted to real ones, and what is inside, healthy or dilated."""

import dataclasses

import numpy as np

# Fitted to the four whole kidneys of real label maps (`benchmarks.kidney_shapes`, Dice 0.84 to 0.88): mean and standard
# deviation of each shape parameter; half width and half thickness as shares of the half length.
FITTED = {
    "width": (0.551, 0.033), "thickness": (0.432, 0.038), "bend": (0.342, 0.181), "taper": (0.002, 0.062),
    "power": (2.146, 0.037), "depth": (0.752, 0.497), "hilum_length": (0.212, 0.023), "hilum_width": (0.754, 0.296),
}  # fmt: skip
TISSUES = ("outside", "capsule", "cortex", "pyramid", "sinus", "fluid")


@dataclasses.dataclass(frozen=True)
class KidneyShape:
    """A bean, in its own coordinates: along its length, towards the hilum, through its thickness.

    A superellipsoid whose axis is bent towards the hilum, thicker at one pole, with a notch.

    Args:
        half_length: In mm.
        width, thickness: Half axes as shares of the half length.
        bend: How far the poles turn towards the hilum, as a share of the half width.
        taper: How much thicker one pole is than the middle.
        power: Of the superellipsoid; 2 is an ellipsoid.
        depth: Of the notch, as a share of the half width.
        hilum_length, hilum_width: Of the notch, as shares of half length and half thickness.
    """

    half_length: float
    width: float
    thickness: float
    bend: float
    taper: float
    power: float
    depth: float
    hilum_length: float
    hilum_width: float

    def level(self, points):
        """How deep points lie: 1 in the middle, 0 on the capsule, negative outside.

        Args:
            points: `(..., 3)`, in mm.

        Returns:
            `(...)`.
        """
        along = points[..., 0] / self.half_length
        wide = points[..., 1] / (self.half_length * self.width)
        thick = points[..., 2] / (self.half_length * self.thickness)
        wide = wide - self.bend * (np.minimum(along**2, 1.5) - 1 / 3)
        swell = 1.0 + self.taper * np.clip(along, -1, 1)
        power = self.power
        radius = (np.abs(along) ** power + np.abs(wide / swell) ** power + np.abs(thick / swell) ** power) ** (
            1 / power
        )
        notch = (along / self.hilum_length) ** 2 + (thick / self.hilum_width) ** 2 + ((wide - 1.0) / 0.6) ** 2
        return 1.0 - radius - self.depth * np.exp(-notch)


def draw_shape(rng, half_length):
    """A random shape of the real ones' kind.

    Args:
        rng: `numpy.random.Generator`.
        half_length: In mm.

    Returns:
        `KidneyShape`.
    """
    # Four kidneys say little about the tails: none are drawn.
    drawn = {name: mean + spread * float(np.clip(rng.normal(), -1.3, 1.3)) for name, (mean, spread) in FITTED.items()}
    return KidneyShape(half_length, **drawn)


@dataclasses.dataclass(frozen=True)
class Kidney:
    """A kidney somewhere in space.

    Args:
        shape: `KidneyShape`.
        centre: `(3,)`, in mm.
        axes: `(3, 3)`: rows are the directions of length, hilum and thickness.
        dilation: 0 healthy to 1 severe hydronephrosis: how much of the inside is fluid.
        seed: Of what is inside.
    """

    shape: KidneyShape
    centre: np.ndarray
    axes: np.ndarray
    dilation: float
    seed: int

    def level(self, points):
        """As `KidneyShape.level`, at points in space."""
        return self.shape.level((points - self.centre) @ self.axes.T)

    def tissues(self, points):
        """Tissue at points in space.

        Args:
            points: `(..., 3)`, in mm.

        Returns:
            `(...)` uint8 indices into `TISSUES`.
        """
        own = (points - self.centre) @ self.axes.T
        level = self.shape.level(own)
        half = self.shape.half_length
        scale = np.array([half, half * self.shape.width, half * self.shape.thickness])
        relative = own / scale - np.array([0.0, 0.25, 0.0])
        # Distance from the sinus, 1 at its edge: calices branch from it, so that its surface is lobed.
        lobes = 0.10 * np.sin(7.0 * relative[..., 0] + self.seed % 7) * np.cos(6.0 * relative[..., 2])
        sinus = np.sqrt(np.sum((relative / [0.55, 0.42, 0.38]) ** 2, axis=-1)) + lobes
        tissue = np.zeros(level.shape, "uint8")
        inside = level > 0
        tissue[inside] = TISSUES.index("cortex")
        rays = np.sin(8.0 * np.arctan2(relative[..., 1], relative[..., 0]) + self.seed % 5)
        tissue[inside & (sinus < 1.75) & (rays > 0.1)] = TISSUES.index("pyramid")
        tissue[inside & (sinus < 1.0)] = TISSUES.index("sinus")
        if self.dilation > 0:
            tissue[inside & (sinus < 0.35 + 1.25 * self.dilation)] = TISSUES.index("fluid")
        tissue[(level > -0.03) & (level <= 0.035)] = TISSUES.index("capsule")
        return tissue
