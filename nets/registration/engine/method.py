"""How pairs are registered: levels, similarity, penalties, kind of transform."""

import dataclasses
import math

from nets.registration.engine.forces import SIMILARITIES
from nets.registration.engine.transforms import TRANSFORMS


@dataclasses.dataclass(frozen=True)
class Level:
    """One resolution of a registration.

    Args:
        factor: How many voxels, along each axis, are averaged into one.
        iterations: At most.
        radius: Of the local correlation's box, in voxels of this level.
        update_sigma: Of the Gaussian that smooths an update, in voxels of this level.
        total_sigma: Of the one that smooths the whole field after each update.
        step: Length of an update's longest vector, in voxels of this level, below 1.
    """

    factor: int
    iterations: int
    radius: int = 2
    update_sigma: float = 0.8
    total_sigma: float = 0.5
    step: float = 0.7


PRESETS = {
    "fast": (Level(4, 40), Level(2, 20, step=1.0), Level(1, 4, 1, 1.0, 0.6, 1.0)),
    "default": (Level(4, 40), Level(2, 30), Level(1, 8, 1, total_sigma=0.45)),
    "accurate": (Level(4, 60, step=0.5), Level(2, 60, step=0.5), Level(1, 20, 1, total_sigma=0.45, step=0.5)),
}


def refining(levels, iterations):
    """Levels for a start that is nearly right, such as a network's answer: the two finest.

    Args:
        levels: Sequence of `Level`.
        iterations: At half resolution; a quarter of them, rounded up, at full resolution.
    """
    half, full = levels[-2:]
    return (
        dataclasses.replace(half, iterations=iterations),
        dataclasses.replace(full, iterations=math.ceil(iterations / 4)),
    )


def smoother(levels):
    """Levels for "mind", whose forces are rougher than those of "ncc"."""
    return tuple(dataclasses.replace(level, update_sigma=1.3, total_sigma=0.8) for level in levels)


@dataclasses.dataclass(frozen=True)
class Method:
    """How pairs are registered.

    Args:
        levels: Sequence of `Level`, coarse to fine.
        similarity: "ncc" (local, squared: contrasts may differ locally in gain, offset and sign), "mse", "nmi"
            (normalised mutual information of the whole images), or "mind" (squared difference of descriptors: contrasts
            may differ in any way).
        symmetric: Whether both images are warped to the middle, so that exchanged images give the inverse. Twice the
            work.
        repeated: Whether images of this size follow. Where none do, a level of little work runs uncompiled:
            compilation takes 3 to 4 CPU seconds per level.
        gradient: Weight of the field's squared first derivatives, 0 to 1: a step against them follows each
            iteration, see `nets.registration.engine.penalties`.
        bending: The same of its squared second derivatives.
        elasticity: The same of linear elasticity, `|grad u + grad u^T|^2 / 4 + (div u)^2 / 2`.
        transform: "displacement", "velocity" (stationary, with an exact inverse: see `velocities_of_pairs`) or
            "splines" (of control points; the field may fold).
        spacing: Of the control points, in voxels of each level.
    """

    levels: tuple = PRESETS["default"]
    similarity: str = "ncc"
    symmetric: bool = False
    repeated: bool = True
    gradient: float = 0.0
    bending: float = 0.0
    elasticity: float = 0.0
    transform: str = "displacement"
    spacing: float = 5.0

    def __post_init__(self):
        object.__setattr__(self, "levels", tuple(self.levels))
        if self.similarity not in SIMILARITIES:
            raise ValueError(
                f"Received an invalid value for `similarity`, expected one of {tuple(SIMILARITIES)}. "
                f"Received: similarity={self.similarity}"
            )
        if not all(0.0 <= weight <= 1.0 for weight in self.penalties):
            raise ValueError(
                f"Expected weights of gradient, bending and elasticity from 0 to 1. Received: {self.penalties}"
            )

        if self.transform not in TRANSFORMS or self.spacing < 1:
            raise ValueError(
                f"Expected a transform of {TRANSFORMS} and a spacing of 1 or more. "
                f"Received: transform={self.transform}, spacing={self.spacing}"
            )

    @property
    def penalties(self):
        """Weights of gradient, bending and elasticity."""
        return self.gradient, self.bending, self.elasticity
